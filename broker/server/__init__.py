"""The broker on a socket: asyncio starts here."""

from broker.server.broker import Broker, BrokerSettings
from broker.server.listener import AddressUnusable, bind

__all__ = ["AddressUnusable", "Broker", "BrokerSettings", "bind"]
