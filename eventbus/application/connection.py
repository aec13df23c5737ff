"""
A connection to the log that the settings name: the embedded broker's, which it starts and joins, or a cluster's.
"""

import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, assert_never

from eventbus.config import EmbeddedBroker, KafkaCluster, Settings
from eventbus.embedded import EmbeddedMember, joined
from eventbus.transport import KafkaTransport, Transport

# The relay deletes its row on the log's answer, so an answer has to mean that the record is on the disk.
_EMBEDDED_TOPICS: Final = {"flush.before.ack": "true"}


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


@asynccontextmanager
async def connected(service: str, settings: Settings) -> AsyncGenerator[Connection]:
    """Joins or starts the embedded broker, if that is where the log is; does not wait for a cluster."""
    broker = settings.broker
    match broker:
        case EmbeddedBroker(directory):
            async with joined(directory, service) as member:
                transport = KafkaTransport(
                    member.address,
                    topic_options=_EMBEDDED_TOPICS,
                    client_id=service,
                    group_protocol=settings.group_protocol,
                )
                instance_id = settings.instance_id or member.instance_id
                async with _open(transport):
                    yield Connection(transport, member.address, instance_id, instance_id, member)
        case KafkaCluster(bootstrap, options):
            transport = KafkaTransport(bootstrap, options, client_id=service, group_protocol=settings.group_protocol)
            # Without a name of its own, a process that starts again waits for its predecessor's leases to run out.
            holder = settings.instance_id or f"{socket.gethostname()}-{os.getpid()}"
            async with _open(transport):
                yield Connection(transport, bootstrap, settings.instance_id, holder, None)
        case _:
            assert_never(broker)


@asynccontextmanager
async def _open(transport: Transport) -> AsyncGenerator[None]:
    await transport.start()
    try:
        yield
    finally:
        await transport.aclose()
