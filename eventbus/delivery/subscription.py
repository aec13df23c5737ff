"""What a `Consumer` drives: the port between reading the log and doing something with it."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from eventbus.database.checkpoints import LogPartition
from eventbus.delivery.wakeup import Wakeup
from eventbus.errors import ForeignLog
from eventbus.transport.port import IncomingRecord


class Claim(Protocol):
    """The right to handle one partition, fenced by an epoch in the database. `Subscription.apply` moves it on."""

    @property
    def log(self) -> LogPartition:
        """The partition, with the identities of its cluster and topic."""
        ...

    @property
    def next_offset(self) -> int:
        """The first offset that is not handled yet: where to read from."""
        ...


C = TypeVar("C", bound=Claim)
C_contra = TypeVar("C_contra", bound=Claim, contravariant=True)


class Subscription(Protocol[C]):
    """
    Effects of records, with their checkpoints, in the service's database.

    The consumer calls `claim` for each partition that the group gives it, `apply` for batches of it in offset order,
    never two at a time for one claim, and `release` when the group takes it away or the service stops.
    """

    @property
    def name(self) -> str:
        """The consumer's name in checkpoints, dead letters, logs and status."""
        ...

    @property
    def group_id(self) -> str:
        """The consumer group: the service's name, or `<service>.<projection>`."""
        ...

    @property
    def topics(self) -> Sequence[str]:
        """The topics to read."""
        ...

    async def claim(self, log: LogPartition, start: int, end: int) -> C:
        """
        Takes a partition over: from here on an earlier owner's `apply` ends in CheckpointFenced.

        The log holds the offsets *start* (the first) up to but not including *end*. A checkpoint in the database
        decides where to read from; without one the subscription's own rule does. Raises ForeignLog when the checkpoint
        belongs to another cluster or topic, lies before *start* or behind *end*: the consumer stops with its words.
        DatabaseUnavailable: tried again until the database is back.
        """
        ...

    async def apply(self, claim: C, records: Sequence[IncomingRecord], next_offset: int) -> None:
        """
        One transaction: the effects of *records* and the checkpoint at *next_offset*; then `claim.next_offset` is it.

        *next_offset* is the consumer's position, at least the last record's offset + 1, and *records* may be empty.
        When it raises, nothing of the transaction is left, unless it had committed a part of the records in order, and
        moved `claim.next_offset` behind it: the records before `claim.next_offset` are done. Raises
        DatabaseUnavailable: the consumer waits and calls it again; CheckpointFenced: it claims the partition again;
        ForeignLog: it stops with its words. It must bear cancellation, and being called again afterwards.
        """
        ...

    async def release(self, claim: C) -> None:
        """The claim will not be used again. Does not raise; the checkpoint stays."""
        ...


class Feed(Protocol):
    """The records of one claim as they are read, for a subscription that works on several of them at once."""

    @property
    def more(self) -> Wakeup:
        """Set when there may be more to take, or nothing is wanted any more."""
        ...

    @property
    def is_wanted(self) -> bool:
        """False: the partition is to be given up, or the service stops. What has begun is finished, nothing begins."""
        ...

    def take(self, records_max: int) -> tuple[Sequence[IncomingRecord], int]:
        """
        The next records that were not taken yet, in offset order, and the position behind them. No records, and the
        position as it was, when there are none yet, when nothing is wanted, or when other partitions have been waiting
        for their turn.
        """
        ...

    def moved(self) -> None:
        """The claim's `next_offset` has moved: what is before it is done."""
        ...


class Streamed(Protocol[C_contra]):
    """What a subscription is that takes its records from a feed instead of batch by batch."""

    async def stream(self, claim: C_contra, feed: Feed) -> None:
        """
        The effects of what *feed* has, until it has no more and all of it is done; the checkpoint never passes a record
        that is not. Raises as `Subscription.apply` does, and is then called again, from `claim.next_offset` on.
        """
        ...


def check_within(consumer: str, log: LogPartition, next_offset: int, start: int, end: int) -> None:
    """Raises ForeignLog when a checkpoint does not lie in the log that is there: *start* up to and including *end*."""
    where = f"consumer {consumer!r}, topic {log.topic!r} partition {log.partition}"
    if next_offset < start:
        raise ForeignLog(
            f"{where}: the checkpoint is {next_offset}, the log now begins at {start}: {start - next_offset} records "
            "were deleted before they were handled; restore them, or set the checkpoint to the log's start by hand"
        )
    if next_offset > end:
        raise ForeignLog(
            f"{where}: the checkpoint is {next_offset}, the log ends at {end}: it has lost records or is another one; "
            "restore the broker's data, or start with an empty database"
        )
