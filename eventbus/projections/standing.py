"""
How each projection stands: what is live, how far it has come in each partition, and how far that is from the log's end.

Positions are the consumer's: behind what was applied and behind what is no record, such as the markers of transactions.
So a view that has seen everything has no lag.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from eventbus.clock import Clock
from eventbus.database.checkpoints import Checkpoint, Checkpoints
from eventbus.database.engine import Database
from eventbus.projections.generations import Generation, Generations
from eventbus.projections.pauses import Pause, Pauses
from eventbus.transport.port import LogDescription, TopicPartition, Transport


@dataclass(frozen=True, slots=True)
class PartitionStanding:
    """One partition of the live generation; `end` is the log's, None when it was not asked or is another log."""

    topic: str
    partition: int
    position: int
    end: int | None

    @property
    def lag(self) -> int | None:
        """Offsets that are to come; None: not known."""
        return None if self.end is None else max(0, self.end - self.position)


@dataclass(frozen=True, slots=True)
class Standing:
    """The live generation of one projection, and the others that there are."""

    live: Generation
    pause: Pause | None
    partitions: tuple[PartitionStanding, ...]
    others: tuple[Generation, ...]

    @property
    def lag(self) -> int | None:
        """Of all partitions together; None: of some it is not known."""
        lags = [partition.lag for partition in self.partitions]
        known = [lag for lag in lags if lag is not None]
        return sum(known) if len(known) == len(lags) else None

    @property
    def position(self) -> int:
        """The sum over the partitions of the next offset to apply."""
        return sum(partition.position for partition in self.partitions)


async def standings(
    database: Database, clock: Clock, *, transport: Transport | None = None, topics: Mapping[str, Iterable[str]]
) -> list[Standing]:
    """
    Every projection that was started here. With a *transport* lags are told, and of the projections in *topics* (name →
    topics) also the partitions that were never read. Raises BrokerUnavailable.
    """
    async with database.reading() as connection:
        rows = await Generations(clock).every(connection)
        pauses = await Pauses().every(connection)
        reached = {
            row.projection: await Checkpoints().read(connection, row.projection, row.generation)
            for row in rows
            if row.state == "live"
        }
    log: LogDescription | None = None
    if transport is not None:
        named = {topic for one in topics.values() for topic in one}
        read = {checkpoint.log.topic for found in reached.values() for checkpoint in found}
        log = await transport.describe(sorted(named | read))
    return [
        Standing(
            row,
            pauses.get(row.projection),
            _partitions(reached[row.projection], log, topics.get(row.projection, ())),
            tuple(other for other in rows if other.projection == row.projection and other is not row),
        )
        for row in rows
        if row.state == "live"
    ]


def _partitions(
    found: list[Checkpoint], log: LogDescription | None, topics: Iterable[str]
) -> tuple[PartitionStanding, ...]:
    standing = {
        TopicPartition(one.log.topic, one.log.partition): PartitionStanding(
            one.log.topic, one.log.partition, one.next_offset or 0, _end(one, log)
        )
        for one in found
    }
    if log is not None:
        for topic in topics:
            described = log.topics.get(topic)
            for number, held in enumerate(() if described is None else described.partitions):
                unread = PartitionStanding(topic, number, held.start, held.end)
                standing.setdefault(TopicPartition(topic, number), unread)
    return tuple(standing[partition] for partition in sorted(standing))


def _end(checkpoint: Checkpoint, log: LogDescription | None) -> int | None:
    topic = None if log is None else log.topics.get(checkpoint.log.topic)
    if log is None or topic is None or checkpoint.log.partition >= len(topic.partitions):
        return None
    is_same = (log.cluster_id, topic.topic_id) == (checkpoint.log.cluster_id, checkpoint.log.topic_id)
    return topic.partitions[checkpoint.log.partition].end if is_same else None
