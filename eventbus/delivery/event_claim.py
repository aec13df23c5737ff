"""A partition that is claimed for a service's event handlers, and one lane's part of it."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import anyio

from eventbus.database import Checkpoint, Checkpoints, LogPartition
from eventbus.errors import CheckpointFenced, DatabaseUnavailable, ForeignLog
from eventbus.store import Transaction, Transactions

NOT_FAILURES: Final = (DatabaseUnavailable, CheckpointFenced, ForeignLog)
"""What no handler can help: the consumer waits for the database, claims again, or stops. No attempt is used up."""


class Fence(Protocol):
    """The right to handle records of a partition, as one transaction after the other makes use of it."""

    @property
    def log(self) -> LogPartition:
        """The partition."""
        ...

    @property
    def consumer(self) -> str:
        """Whose it is."""
        ...

    @property
    def next_offset(self) -> int:
        """What is before it was handled."""
        ...

    @property
    def parkings(self) -> "Parkings":
        """Whether keys can be parked."""
        ...

    def transaction(self, transactions: Transactions, next_offset: int) -> AbstractAsyncContextManager[Transaction]:
        """
        A transaction behind which this is at *next_offset*. Raises CheckpointFenced when another owner has claimed the
        partition; none can until it ends.
        """
        ...


@dataclass(slots=True)
class Parkings:
    """
    Whether keys of a claimed partition's topic can be parked. Only who owns a partition parks its keys: when none were
    at the claim, and none were parked by it since, nobody has to ask the database.
    """

    possible: bool
    times: int = 0
    """How often keys were parked under this claim."""

    def add(self) -> None:
        """A key was parked, and that is committed."""
        self.possible = True
        self.times += 1


@dataclass(slots=True)
class EventClaim:
    """
    A partition claimed for the service's handlers. Each of its transactions moves the checkpoint.

    first_offsets   where each handler's part of it begins
    """

    checkpoint: Checkpoint
    next_offset: int
    first_offsets: Mapping[str, int]
    parkings: Parkings

    @property
    def log(self) -> LogPartition:
        return self.checkpoint.log

    @property
    def consumer(self) -> str:
        return self.checkpoint.consumer

    @asynccontextmanager
    async def transaction(self, transactions: Transactions, next_offset: int) -> AsyncGenerator[Transaction]:
        """Moves the checkpoint."""
        async with transactions.begin() as transaction:
            moved = await Checkpoints().advance(transaction.connection, self.checkpoint, next_offset)
            yield transaction
        self.checkpoint, self.next_offset = moved, next_offset


class LaneFence:
    """
    One lane's part of a claim. Its transactions hold the checkpoint where it is, beside those of the other lanes: that
    it goes on is not theirs to say, since a neighbour may still work on what lies before.

    turn       what a transaction needs a place in: connections are few
    finished   called with the offset below which everything that the lane has in hand is committed
    """

    __slots__ = ("_claim", "_finished", "_turn", "next_offset")

    def __init__(
        self, claim: EventClaim, next_offset: int, turn: anyio.CapacityLimiter, finished: Callable[[int], None]
    ) -> None:
        self._claim = claim
        self._turn = turn
        self._finished = finished
        self.next_offset = next_offset

    @property
    def log(self) -> LogPartition:
        return self._claim.log

    @property
    def consumer(self) -> str:
        return self._claim.consumer

    @property
    def parkings(self) -> Parkings:
        return self._claim.parkings

    @asynccontextmanager
    async def transaction(self, transactions: Transactions, next_offset: int) -> AsyncGenerator[Transaction]:
        """Leaves the checkpoint where it is."""
        async with self._turn, transactions.begin() as transaction:
            await Checkpoints().hold(transaction.connection, self._claim.checkpoint)
            yield transaction
        self.next_offset = next_offset
        self._finished(next_offset)
