"""What a database says about the old log, said about the new one."""

import json

import pytest

from eventbus.migration.logs import MigrationRefused
from eventbus.migration.offsets import OffsetMap
from eventbus.migration.translation import MovedTopic, Row, Translation


def _topic(*, partitions: int = 2, new_name: str = "orders") -> MovedTopic:
    """Old partitions with records at 10 and 12 (11 is a marker), and the end at 14."""
    maps = {number: OffsetMap(10, 14) for number in range(2)}
    for found in maps.values():
        found.add(10)
        found.add(12)
    return MovedTopic("orders", new_name, "old-id", "new-id", maps, dict.fromkeys(range(partitions), 2))


def _translation(topic: MovedTopic) -> Translation:
    return Translation("old", "new", [topic])


def _checkpoint(partition: int, next_offset: int | None, **other: object) -> Row:
    log: Row = {"cluster_id": "old", "topic": "orders", "topic_id": "old-id", "partition": partition}
    return {"consumer": "shop", **log, "next_offset": next_offset, **other}


def test_a_checkpoint_names_the_new_log_and_stands_before_the_same_record() -> None:
    """12 is the second record; a consumer that has applied nothing has still applied nothing."""
    rows = _translation(_topic()).rows("eventbus_checkpoints", [_checkpoint(0, 12), _checkpoint(1, None)])
    assert [(row["cluster_id"], row["topic_id"], row["next_offset"]) for row in rows] == [
        ("new", "new-id", 1),
        ("new", "new-id", None),
    ]


def test_a_checkpoint_of_another_log_stays_and_is_counted() -> None:
    """Another cluster, another topic of that name, an offset that the log does not hold any more."""
    translation = _translation(_topic())
    rows = [_checkpoint(0, 12, cluster_id="x"), _checkpoint(0, 12, topic_id="x"), _checkpoint(0, 3)]
    assert translation.rows("eventbus_checkpoints", rows) == rows
    assert translation.left == 3


def test_within_one_cluster_a_topic_that_stays_is_not_another_logs() -> None:
    """Its checkpoint is as right as before; one that the moved topic does not hold any more is counted."""
    translation = Translation("old", "old", [_topic(new_name="orders-2")])
    stays = [_checkpoint(0, 5, topic="payments", topic_id="payments-id"), _checkpoint(0, 3)]
    assert translation.rows("eventbus_checkpoints", stays) == stays
    assert translation.left == 1


def test_with_other_partitions_a_consumer_stands_at_every_end() -> None:
    """One that had read everything has read everything; what receipts are exchanged for goes."""
    translation = _translation(_topic(partitions=3))
    rows = translation.rows("eventbus_checkpoints", [_checkpoint(0, 13), _checkpoint(1, 14)])
    assert [(row["partition"], row["next_offset"]) for row in rows] == [(0, 2), (1, 2), (2, 2)]
    assert translation.rows("eventbus_published", [{"topic": "orders", "partition": 0, "offset": 12}]) == []


def test_with_other_partitions_a_consumer_that_has_more_to_read_is_refused() -> None:
    """Its place would be lost: the words say to let it read on."""
    with pytest.raises(MigrationRefused, match=r"shop has not read orders-0 to the end \(it is at 12\)"):
        _translation(_topic(partitions=3)).rows("eventbus_checkpoints", [_checkpoint(0, 12)])


def test_a_renamed_topic_has_its_new_name_everywhere() -> None:
    """In positions, in the store, in the outbox, and in a rebuild that was under way."""
    translation = _translation(_topic(new_name="orders-2"))
    assert translation.rows("eventbus_outbox", [{"topic": "orders"}, {"topic": "x"}, {"topic": None}]) == [
        {"topic": "orders-2"},
        {"topic": "x"},
        {"topic": None},
    ]
    place: Row = {"topic": "orders", "partition": 0, "offset": 12}
    assert translation.rows("eventbus_dead_letters", [place]) == [{**place, "topic": "orders-2", "offset": 1}]
    scan = json.dumps({"after": None, "floor": [["orders", 0, 12], ["x", 1, 5]]})
    (row,) = translation.rows("eventbus_generations", [{"store_scan": scan}])
    assert json.loads(str(row["store_scan"]))["floor"] == [["orders-2", 0, 1], ["x", 1, 5]]
