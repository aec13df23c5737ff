"""
What a service's database says about the old log, said about the new one.

    eventbus_checkpoints       cluster, topic and its id, partition, next offset
    eventbus_handler_starts    the same
    eventbus_published         topic, partition, offset: what receipts are exchanged for
    eventbus_dead_letters      topic, partition, offset
    eventbus_parked_events     topic, partition, offset
    eventbus_generations       the offsets in `store_scan`
    eventbus_events, eventbus_outbox, eventbus_blocked_rows, eventbus_parked_keys
                               the topic, where it has another name

A row that is about yet another log, or about offsets that the old one does not hold, stays as it is: its consumer stops
in the new log with the words that it stops with in the old one.

With another number of partitions
    positions of single records are not known. Every consumer has to have read its topic to the end; it then stands at
    the end of every new partition. What receipts are exchanged for goes, and they count as applied.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from eventbus.migration.logs import MigrationRefused
from eventbus.migration.offsets import OffsetMap

Row = dict[str, object]

POSITIONED: Final = (
    "eventbus_checkpoints",
    "eventbus_handler_starts",
    "eventbus_published",
    "eventbus_dead_letters",
    "eventbus_parked_events",
    "eventbus_generations",
)
NAMED: Final = ("eventbus_events", "eventbus_outbox", "eventbus_blocked_rows", "eventbus_parked_keys")


@dataclass(frozen=True, slots=True)
class MovedTopic:
    """One topic, by its old and its new identity; maps by old partition, ends by new one."""

    name: str
    new_name: str
    topic_id: str
    new_topic_id: str
    maps: Mapping[int, OffsetMap]
    ends: Mapping[int, int]

    @property
    def is_repartitioned(self) -> bool:
        """Whether keys have gone to other partitions."""
        return len(self.maps) != len(self.ends)

    def position(self, partition: object, offset: object) -> int | None:
        """The new position of an offset; None when it is not known."""
        found = None if self.is_repartitioned else self.maps.get(cast("int", partition))
        return None if found is None else found.position(cast("int", offset))


class Translation:
    """From one cluster to another; without topics nothing changes."""

    def __init__(self, cluster_id: str, new_cluster_id: str, topics: Sequence[MovedTopic]) -> None:
        self.cluster_id = cluster_id
        self.new_cluster_id = new_cluster_id
        self._topics = {topic.name: topic for topic in topics}
        self._by_id = {topic.topic_id: topic for topic in topics}
        self._new_ids = {topic.new_topic_id for topic in topics}
        self.left = 0
        """Rows that stayed as they are, because they are about another log."""

    @classmethod
    def none(cls) -> "Translation":
        """The log stays."""
        return cls("", "", ())

    @property
    def changes(self) -> bool:
        """Whether the log is another one."""
        return bool(self._topics)

    @property
    def renamed(self) -> dict[str, str]:
        """The new names of the topics that have another one."""
        return {name: topic.new_name for name, topic in self._topics.items() if topic.new_name != name}

    def is_done(self, cluster_id: object, topic_id: object) -> bool:
        """Whether a checkpoint is about the new log already."""
        return cluster_id == self.new_cluster_id and topic_id in self._new_ids

    def rows(self, table: str, rows: Iterable[Row]) -> list[Row]:
        """The rows of *table* as they are to be. Raises MigrationRefused when a consumer has to read on first."""
        if not self.changes:
            return list(rows)
        match table:
            case "eventbus_checkpoints":
                return [new for row in rows for new in self._checkpoint(row)]
            case "eventbus_handler_starts":
                return [new for row in rows for new in self._handler_start(row)]
            case "eventbus_published":
                return [new for row in rows if (new := self._place(row, drop=True)) is not None]
            case "eventbus_dead_letters" | "eventbus_parked_events":
                return [new for row in rows if (new := self._place(row, drop=False)) is not None]
            case "eventbus_generations":
                return [self._generation(row) for row in rows]
            case _:
                return [self._renamed(row) for row in rows] if table in NAMED else list(rows)

    def _renamed(self, row: Row) -> Row:
        topic = self._topics.get(cast("str", row["topic"]))
        return row if topic is None else {**row, "topic": topic.new_name}

    def _checkpoint(self, row: Row) -> list[Row]:
        topic = self._moved(row, "next_offset")
        if topic is None:
            return [row]
        offset = row["next_offset"]
        new = {**row, "cluster_id": self.new_cluster_id, "topic": topic.new_name, "topic_id": topic.new_topic_id}
        if not topic.is_repartitioned:
            return [{**new, "next_offset": None if offset is None else topic.position(row["partition"], offset)}]
        if not topic.maps[cast("int", row["partition"])].is_behind_all(cast("int", offset or 0)):
            raise MigrationRefused(
                f"{row['consumer']} has not read {topic.name}-{row['partition']} to the end (it is at {offset}): start "
                "the service until it has, then stop it and move; keys go to other partitions, where its place is lost"
            )
        return [{**new, **end} for end in _spread(topic, row["partition"], "next_offset")]

    def _handler_start(self, row: Row) -> list[Row]:
        topic = self._moved(row, "first_offset")
        if topic is None:
            return [row]
        new = {**row, "cluster_id": self.new_cluster_id, "topic_id": topic.new_topic_id}
        if topic.is_repartitioned:
            return [{**new, **end} for end in _spread(topic, row["partition"], "first_offset")]
        return [{**new, "first_offset": topic.position(row["partition"], row["first_offset"])}]

    def _moved(self, row: Row, offset: str) -> MovedTopic | None:
        """The topic that a row with cluster, topic id and partition is about; None: it stays as it is."""
        topic = self._by_id.get(cast("str", row["topic_id"])) if row["cluster_id"] == self.cluster_id else None
        if topic is not None:
            found = topic.maps.get(cast("int", row["partition"]))
            known = found is not None and (row[offset] is None or found.position(cast("int", row[offset])) is not None)
            if known:
                return topic
        # Within one cluster the topics that stay are as right as they were.
        if topic is not None or row["cluster_id"] != self.new_cluster_id:
            self.left += 1
        return None

    def _place(self, row: Row, *, drop: bool) -> Row | None:
        topic = self._topics.get(cast("str", row["topic"]))
        if topic is None:
            return row
        position = topic.position(row["partition"], row["offset"])
        if position is None:
            # Of a dead letter it only tells people where it was.
            return None if drop else {**row, "topic": topic.new_name}
        return {**row, "topic": topic.new_name, "offset": position}

    def _generation(self, row: Row) -> Row:
        text = row.get("store_scan")
        if not isinstance(text, str):
            return row
        scan = cast("dict[str, object]", json.loads(text))
        floor = cast("list[tuple[str, int, int]] | None", scan.get("floor"))
        if floor is None:
            return row
        moved: list[list[str | int]] = []
        for name, partition, offset in floor:
            topic = self._topics.get(name)
            if topic is None:
                moved.append([name, partition, offset])
            elif topic.is_repartitioned:
                moved += [[topic.new_name, number, end] for number, end in topic.ends.items() if partition == 0]
            else:
                position = topic.position(partition, offset)
                moved.append([topic.new_name, partition, offset if position is None else position])
        return {**row, "store_scan": json.dumps({**scan, "floor": moved})}


def _spread(topic: MovedTopic, partition: object, offset: str) -> list[Row]:
    """The ends of the new partitions, once: in the place of the row of the first old one."""
    return [{"partition": number, offset: end} for number, end in topic.ends.items()] if partition == 0 else []
