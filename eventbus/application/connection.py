"""
A connection to the log that the settings name: the embedded broker's, which it starts and joins, a cluster's, or one in
memory; or to a log of the application's own kind.
"""

import itertools
import os
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, assert_never

from eventbus.config import EmbeddedBroker, KafkaCluster, LogInMemory, Settings
from eventbus.embedded import EmbeddedMember, joined
from eventbus.transport import Transport
from eventbus.transport.memory import MemoryLog, MemoryTransport

MakeTransport = Callable[[], Transport]
"""Makes a connection to a log, for one run of an application, which starts and closes it."""

# The relay deletes its row on the log's answer, so an answer has to mean that the record is on the disk.
EMBEDDED_TOPICS: Final = {"flush.before.ack": "true"}
_NUMBERS: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Connection:
    """
    transport    to the log
    address      `host:port,…` of the log, for people and other clients
    instance_id  the name that this process has in its consumer groups over restarts; None: none
    holder       the name that it has in leases
    embedded     the embedded broker's membership; None on a cluster
    """

    transport: Transport
    address: str
    instance_id: str | None
    holder: str
    embedded: EmbeddedMember | None


@dataclass(frozen=True, slots=True)
class OwnLog:
    """A log that is reached through a transport of the application's own: the one in memory, or a test's."""

    address: str
    make: MakeTransport


Log = EmbeddedBroker | KafkaCluster | OwnLog
"""Where the log of an application is, settled when the application is built."""


def log_of(settings: Settings, make: MakeTransport | None = None) -> Log:
    """What the settings name; with *make* the log to which that makes connections."""
    if make is not None:
        return OwnLog("a transport of its own", make)
    match settings.broker:
        case LogInMemory(name):
            log = MemoryLog() if name is None else MemoryLog.named(name)
            return OwnLog(log.address, lambda: MemoryTransport(log))
        case EmbeddedBroker() | KafkaCluster() as broker:
            return broker


@asynccontextmanager
async def connected(service: str, log: Log, settings: Settings) -> AsyncGenerator[Connection]:
    """Joins or starts the embedded broker, if that is where the log is; does not wait for a cluster."""
    match log:
        case EmbeddedBroker(directory):
            # Loading librdkafka takes time that an application over a log in memory need not spend.
            from eventbus.transport.kafka import KafkaTransport

            async with joined(directory, service) as member:
                transport = KafkaTransport(
                    member.address,
                    topic_options=EMBEDDED_TOPICS,
                    client_id=service,
                    group_protocol=settings.group_protocol,
                )
                instance_id = settings.instance_id or member.instance_id
                async with _open(transport):
                    yield Connection(transport, member.address, instance_id, instance_id, member)
        case KafkaCluster(bootstrap, options):
            from eventbus.transport.kafka import KafkaTransport

            transport = KafkaTransport(
                bootstrap,
                options,
                client_id=service,
                group_protocol=settings.group_protocol,
                replication=settings.replication,
                create_topics=settings.create_topics,
            )
            # Without a name of its own, a process that starts again waits for its predecessor's leases to run out.
            holder = settings.instance_id or f"{socket.gethostname()}-{os.getpid()}"
            async with _open(transport):
                yield Connection(transport, bootstrap, settings.instance_id, holder, None)
        case OwnLog(address, make):
            own = make()
            # Several instances of a service can be in one process, and each needs a name of its own in leases.
            holder = settings.instance_id or f"{socket.gethostname()}-{os.getpid()}-{next(_NUMBERS)}"
            async with _open(own):
                yield Connection(own, address, settings.instance_id, holder, None)
        case _:
            assert_never(log)


@asynccontextmanager
async def _open(transport: Transport) -> AsyncGenerator[None]:
    await transport.start()
    try:
        yield
    finally:
        await transport.aclose()
