"""A log and a database that an application is given as objects, in place of addresses."""

from eventbus import Application
from eventbus.database import Database
from eventbus.transport.memory import MemoryLog, MemoryTransport
from tests.docs.examples import rates


class OurTransport(MemoryTransport):
    """Stands here for a transport of one's own: any class with the methods of `eventbus.transport.Transport`."""


OUR_LOG = MemoryLog()


def our_transport() -> OurTransport:
    return OurTransport(OUR_LOG)


def our_database(name: str) -> Database:
    return Database.from_url(f"memory:{name}")


def our_service() -> Application:
    return Application("rate-service", modules=[rates], transport=our_transport, database=our_database("rates"))
