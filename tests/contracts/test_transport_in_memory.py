from collections.abc import AsyncIterator

import pytest

from eventbus.testing.contracts.transactional_producer import TransactionalProducerContract
from eventbus.testing.contracts.transport import TransportContract
from eventbus.testing.contracts.transport_absence import TransactionalProducerAbsenceContract, TransportAbsenceContract
from eventbus.transport.memory import MemoryLog, MemoryTransport


class StoppableLog(MemoryLog):
    """A log that ends as a process does."""

    def kill(self) -> None:
        self.stop()


@pytest.fixture(scope="module")
def log() -> StoppableLog:
    return StoppableLog()


@pytest.fixture
async def transport(log: StoppableLog) -> AsyncIterator[MemoryTransport]:
    transport = MemoryTransport(log)
    await transport.start()
    yield transport
    await transport.aclose()


class TestMemoryTransport(TransportContract, TransportAbsenceContract):
    """A log in the memory of one process."""


class TestTransactionsInMemory(TransactionalProducerContract, TransactionalProducerAbsenceContract):
    """The same, for writing in transactions."""
