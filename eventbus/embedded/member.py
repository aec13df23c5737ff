"""A service's part in an embedded broker: its use of the broker, and its name among the processes of its kind."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from eventbus.embedded.instance import InstanceLease
from eventbus.embedded.shared_broker import SharedBroker


@dataclass(frozen=True, slots=True)
class EmbeddedMember:
    """What a service that has joined knows. `broker_pid` is the process that serves now, or that served last."""

    broker: SharedBroker
    instance_id: str

    @property
    def address(self) -> str:
        """`HOST:PORT`; the same after a restart of the broker."""
        return self.broker.address

    @property
    def broker_pid(self) -> int:
        """The broker's process; another one after a restart."""
        return self.broker.pid


@asynccontextmanager
async def joined(directory: Path, service: str) -> AsyncGenerator[EmbeddedMember]:
    """
    Uses the broker of *directory* (absolute) while the block lasts: starts it if nobody has, keeps it alive, leaves it.

    Raises InvalidConfiguration for a directory that cannot be used, BrokerUnavailable when no broker starts in it.
    """
    async with SharedBroker(directory) as broker:
        lease = InstanceLease(directory, service)
        try:
            yield EmbeddedMember(broker, lease.name)
        finally:
            lease.release()
