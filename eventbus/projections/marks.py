"""
Up to where a generation is to be filled before it can take the live one's place.
"""

from collections.abc import Mapping, Sequence

from eventbus.database.checkpoints import Checkpoint, LogPartition
from eventbus.projections.definition import AnyProjection
from eventbus.projections.generations import RebuildRefused
from eventbus.transport.port import LogDescription, OffsetRange, TopicPartition, Transport


class LogView:
    """The projection's part of the log at one moment: its partitions, and what they hold."""

    def __init__(self, description: LogDescription, topics: Sequence[str]) -> None:
        self._description = description
        self.partitions: Mapping[TopicPartition, LogPartition] = {
            TopicPartition(topic, number): LogPartition(
                description.cluster_id, topic, description.topics[topic].topic_id, number
            )
            for topic in sorted(topics)
            for number in range(len(description.topics[topic].partitions))
        }

    @classmethod
    async def of(cls, transport: Transport, projection: type[AnyProjection]) -> "LogView":
        """What is there now. Raises RebuildRefused when a topic is missing; BrokerUnavailable."""
        topics = projection.projection_topics
        description = await transport.describe(topics)
        missing = [topic for topic in topics if topic not in description.topics]
        if missing:
            raise RebuildRefused(
                f"projection {projection.projection_name!r} cannot be rebuilt: the log has no topic {missing[0]!r}; is "
                "it the right broker?"
            )
        return cls(description, topics)

    def range(self, partition: TopicPartition) -> OffsetRange:
        """The offsets that the partition holds."""
        return self._description.topics[partition.topic].partitions[partition.partition]

    def ends(self) -> dict[TopicPartition, int]:
        """The end of each partition."""
        return {partition: self.range(partition).end for partition in self.partitions}

    def is_foreign_to(self, rows: Sequence[Checkpoint]) -> bool:
        """
        Whether live rows with these checkpoints came from another log, or from more than is left of this one: then
        nothing can be agreed with them.
        """
        for row in rows:
            partition = TopicPartition(row.log.topic, row.log.partition)
            log = self.partitions.get(partition)
            if log is not None:
                held, position = self.range(partition), row.next_offset or 0
                if log != row.log or position > held.end or (row.next_offset is not None and position < held.start):
                    return True
        return False

    def marks(self, rows: Sequence[Checkpoint], *, same_version: bool) -> dict[TopicPartition, int]:
        """Where to stop: at the live checkpoints *rows*; with nothing to agree with, at the end."""
        foreign = self.is_foreign_to(rows)
        known = {} if foreign else {TopicPartition(row.log.topic, row.log.partition): row for row in rows}
        marks: dict[TopicPartition, int] = {}
        for partition, end in self.ends().items():
            row = known.get(partition)
            if row is not None:
                marks[partition] = row.next_offset or 0
            else:
                marks[partition] = 0 if same_version and not foreign else end
        return marks
