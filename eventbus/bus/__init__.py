"""
Where messages are given to: commands, queries and events of one application.
"""

from eventbus.bus.buses import Buses
from eventbus.bus.command_bus import CommandBus
from eventbus.bus.event_bus import EventBus
from eventbus.bus.middleware import logged, timed
from eventbus.bus.model import Model
from eventbus.bus.query_bus import QueryBus

__all__ = ["Buses", "CommandBus", "EventBus", "Model", "QueryBus", "logged", "timed"]
