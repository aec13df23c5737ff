"""Produce, Fetch, ListOffsets, OffsetForLeaderEpoch, DeleteRecords."""

from uuid import UUID

from broker.records import Compression
from broker.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from broker.wire.messages.offsets import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from broker.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tests.interop.differential.building import (
    NOW,
    altered,
    batch,
    fetch,
    from_producer,
    init_producer,
    list_offsets,
    new_topic,
    produce,
)
from tests.interop.differential.scenario import Ask, Build, Known, Scenario

DAY_MS = 86_400_000
STRANGER = UUID("11111111-2222-3333-4444-555555555555")
BY_NAME = [9, 12]
SAMPLED = [3, 7, 9, 13]


def leader_epoch(label: str, epoch: int, current: int = -1, partition: int = 0) -> Build:
    def build(known: Known) -> OffsetForLeaderEpochRequest:
        asked = OffsetForLeaderPartition(partition=partition, current_leader_epoch=current, leader_epoch=epoch)
        return OffsetForLeaderEpochRequest(
            replica_id=-1, topics=[OffsetForLeaderTopic(topic=known.name(label), partitions=[asked])]
        )

    return build


def delete_records(label: str, offset: int, partition: int = 0) -> Build:
    def build(known: Known) -> DeleteRecordsRequest:
        asked = DeleteRecordsPartition(partition_index=partition, offset=offset)
        return DeleteRecordsRequest(
            topics=[DeleteRecordsTopic(name=known.name(label), partitions=[asked])], timeout_ms=5000
        )

    return build


def _twice_in_one_request(known: Known) -> ProduceRequest:
    data = [PartitionProduceData(index=index, records=memoryview(batch(b"%d" % index))) for index in (0, 1, 7)]
    return ProduceRequest(
        acks=-1,
        timeout_ms=5000,
        topic_data=[TopicProduceData(name=known.name("t"), topic_id=known.id("t"), partition_data=data)],
    )


def _unknown_id(known: Known) -> ProduceRequest:
    data = [PartitionProduceData(index=0, records=memoryview(batch()))]
    return ProduceRequest(
        acks=-1, timeout_ms=5000, topic_data=[TopicProduceData(name="", topic_id=STRANGER, partition_data=data)]
    )


def _fetch_unknown_id(known: Known) -> FetchRequest:
    partition = FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1000)
    return FetchRequest(topics=[FetchTopic(topic="", topic_id=STRANGER, partitions=[partition])])


def _fetch_many(known: Known) -> FetchRequest:
    partitions = [FetchPartition(partition=index, fetch_offset=0, partition_max_bytes=1 << 20) for index in (0, 1, 5)]
    return FetchRequest(
        max_bytes=1 << 20,
        topics=[
            FetchTopic(topic=known.name("t"), topic_id=known.id("t"), partitions=partitions),
            FetchTopic(topic=known.name("nowhere"), topic_id=STRANGER, partitions=partitions[:1]),
        ],
    )


def _to_internal(known: Known) -> ProduceRequest:
    data = [PartitionProduceData(index=0, records=memoryview(batch()))]
    return ProduceRequest(
        acks=-1, timeout_ms=5000, topic_data=[TopicProduceData(name="__consumer_offsets", partition_data=data)]
    )


def _no_topics(known: Known) -> FetchRequest:
    return FetchRequest(max_bytes=1000)


_TWO_BATCHES = batch(b"a") + batch(b"b")

PRODUCE = Scenario(
    "produce",
    [
        *new_topic("t", 2),
        Ask(produce("t", batch(b"one", b"two"))),
        Ask(produce("t", batch(b"one"), acks=1)),
        Ask(produce("t", batch(b"silent"), acks=0), versions=SAMPLED, answered=False),
        Ask(list_offsets("t", -1), versions=[11]),
        *(Ask(produce("t", batch(b"x" * 100, compression=codec)), versions=SAMPLED) for codec in Compression),
        Ask(_twice_in_one_request),
        Ask(fetch("t")),
        Ask(fetch("t", 3)),
        Ask(fetch("t", 0, partition_max_bytes=100), versions=[4, 12, 18]),
        Ask(fetch("t", 0, partition_max_bytes=1, max_bytes=1), versions=[4, 12, 18]),
        Ask(fetch("t", 0, max_bytes=0), versions=[11, 18]),
    ],
)

PRODUCE_ERRORS = Scenario(
    "produce-errors",
    [
        *new_topic("t"),
        *new_topic("odd"),
        *new_topic("compacted", configs={"cleanup.policy": "compact"}),
        *new_topic("both", configs={"cleanup.policy": "compact,delete"}),
        *new_topic("small", configs={"max.message.bytes": "200"}),
        *new_topic("stamped", configs={"message.timestamp.type": "LogAppendTime"}),
        *new_topic(
            "bounded",
            configs={"message.timestamp.before.max.ms": "60000", "message.timestamp.after.max.ms": "60000"},
        ),
        Ask(produce("t", batch(), acks=2)),
        Ask(produce("t", batch(), acks=-2), versions=SAMPLED),
        Ask(produce("nowhere", batch()), versions=[3, 7, 9, 12]),
        Ask(_unknown_id, versions=[13]),
        Ask(_to_internal, versions=BY_NAME),
        Ask(produce("t", batch(), partition=9)),
        Ask(produce("t", batch(), partition=-1), versions=SAMPLED),
        Ask(produce("t", b""), versions=SAMPLED),
        Ask(produce("t", batch()[:40]), versions=SAMPLED),
        Ask(produce("t", batch()[:-1]), versions=SAMPLED),
        Ask(produce("odd", batch() + b"\x00"), versions=SAMPLED),
        Ask(produce("t", batch()[:-1] + b"\xff")),
        Ask(produce("t", altered(batch(), magic=0)), versions=SAMPLED),
        Ask(produce("t", altered(batch(), magic=1)), versions=SAMPLED),
        Ask(produce("t", altered(batch(), magic=3)), versions=SAMPLED),
        Ask(produce("t", altered(batch(), batch_length=-1)), versions=SAMPLED),
        Ask(produce("t", altered(batch(), batch_length=1_000_000)), versions=SAMPLED),
        Ask(produce("t", altered(batch(), last_offset_delta=-1)), versions=SAMPLED),
        Ask(produce("t", altered(batch(), last_offset_delta=5)), versions=SAMPLED),
        Ask(produce("t", altered(batch(), record_count=0)), versions=SAMPLED),
        Ask(produce("t", altered(batch(), record_count=-1)), versions=SAMPLED),
        Ask(produce("t", altered(batch(), record_count=5)), versions=SAMPLED),
        Ask(produce("odd", altered(batch(), base_offset=7, leader_epoch=9)), versions=SAMPLED),
        Ask(produce("t", altered(batch(), attributes=0x07)), versions=SAMPLED),
        Ask(produce("odd", altered(batch(), attributes=0x08)), versions=SAMPLED),
        Ask(produce("t", batch(control=True)), versions=SAMPLED),
        Ask(produce("t", _TWO_BATCHES), versions=SAMPLED),
        Ask(produce("t", batch(b"z" * 80, compression=Compression.ZSTD)), versions=[3, 6, 7, 13]),
        Ask(produce("t", batch(timestamp=NOW + 2 * DAY_MS)), versions=SAMPLED),
        Ask(produce("t", batch(timestamp=NOW - 400 * DAY_MS)), versions=SAMPLED),
        Ask(produce("t", batch(timestamp=-1)), versions=SAMPLED),
        Ask(produce("bounded", batch(timestamp=NOW - DAY_MS)), versions=SAMPLED),
        Ask(produce("bounded", batch(timestamp=NOW + DAY_MS)), versions=SAMPLED),
        Ask(produce("bounded", batch(timestamp=-1)), versions=SAMPLED),
        Ask(produce("compacted", batch(key=None)), versions=SAMPLED),
        Ask(produce("compacted", batch(b"z" * 80, key=None, compression=Compression.GZIP)), versions=SAMPLED),
        Ask(produce("compacted", batch(key=b"")), versions=SAMPLED),
        Ask(produce("both", batch(key=None)), versions=SAMPLED),
        Ask(produce("small", batch(b"x" * 500))),
        Ask(produce("small", batch(b"x" * 20))),
        Ask(produce("stamped", batch(b"x", b"y", timestamp=NOW - 400 * DAY_MS))),
        Ask(fetch("stamped")),
        Ask(fetch("t"), versions=[4, 12, 18]),
        Ask(fetch("compacted"), versions=[4, 12, 18]),
        Ask(list_offsets("t", -1)),
    ],
)

IDEMPOTENCE = Scenario(
    "idempotence",
    [
        *new_topic("t"),
        *new_topic("u"),
        *new_topic("odd"),
        *init_producer("p"),
        *init_producer("q"),
        Ask(produce("t", from_producer("p", 0, b"a", b"b")), versions=[7]),
        Ask(produce("t", from_producer("p", 0, b"a", b"b")), versions=SAMPLED),
        Ask(produce("t", from_producer("p", 0, b"a")), versions=[9]),
        Ask(produce("t", from_producer("p", 1, b"a")), versions=[9]),
        Ask(produce("t", from_producer("p", 3, b"gap")), versions=SAMPLED),
        *(Ask(produce("t", from_producer("p", sequence, b"c")), versions=[9]) for sequence in range(2, 9)),
        *(Ask(produce("t", from_producer("p", sequence, b"c")), versions=[9]) for sequence in range(2, 9)),
        Ask(produce("t", from_producer("p", 0, b"a", b"b")), versions=[9]),
        Ask(produce("t", from_producer("p", 9, b"new epoch, wrong start", epoch=1)), versions=[9]),
        Ask(produce("t", from_producer("p", 0, b"new epoch", epoch=1)), versions=[9]),
        Ask(produce("t", from_producer("p", 9, b"fenced")), versions=SAMPLED),
        Ask(produce("t", from_producer("p", 1, b"next", epoch=1)), versions=[9]),
        Ask(produce("u", from_producer("q", 5, b"unknown producer, sequence 5")), versions=[9]),
        Ask(produce("u", from_producer("q", 2**31 - 1, b"last")), versions=[9]),
        Ask(produce("u", from_producer("q", 0, b"first")), versions=[9]),
        Ask(produce("odd", from_producer("q", -1, b"no sequence")), versions=[9]),
        Ask(produce("odd", batch(producer=(-1, 0, 0))), versions=[9]),
        Ask(produce("odd", batch(producer=(-1, -1, 4))), versions=[9]),
        Ask(produce("u", batch(producer=(5_000_000, 0, 0))), versions=[9]),
        Ask(produce("odd", batch(producer=(5_000_001, -1, 0))), versions=[9]),
        Ask(produce("odd", batch(transactional=True)), versions=[9]),
        Ask(fetch("t"), versions=[12]),
        Ask(fetch("u"), versions=[12]),
    ],
)

FETCH_ERRORS = Scenario(
    "fetch-errors",
    [
        *new_topic("t", 2),
        *(Ask(produce("t", batch(b"v%d" % number)), versions=[9]) for number in range(5)),
        Ask(fetch("t", 5)),
        Ask(fetch("t", 6)),
        Ask(fetch("t", -1)),
        Ask(fetch("t", 2**62), versions=[4, 12, 18]),
        Ask(fetch("t", 0, partition=7)),
        Ask(fetch("nowhere"), versions=[4, 11, 12]),
        Ask(_fetch_unknown_id, versions=[13, 15, 18]),
        Ask(_fetch_many),
        Ask(_no_topics, versions=[4, 12, 18]),
        Ask(fetch("t", current_leader_epoch=0)),
        Ask(fetch("t", current_leader_epoch=9)),
        Ask(fetch("t", last_fetched_epoch=0), versions=[12, 18]),
        Ask(fetch("t", last_fetched_epoch=9), versions=[12, 18]),
        Ask(fetch("t", 5, last_fetched_epoch=3), versions=[12, 18]),
        Ask(fetch("t", replica_id=2), versions=[4, 12]),
        Ask(fetch("t", isolation_level=1)),
        Ask(fetch("t", isolation_level=2), versions=[4, 12, 18]),
        Ask(fetch("t", 5, min_bytes=1, max_wait_ms=50), versions=[4, 12, 18]),
        Ask(delete_records("t", 2)),
        Ask(fetch("t", 0)),
        Ask(fetch("t", 1), versions=[4, 12]),
        Ask(fetch("t", 2), versions=[4, 12]),
        Ask(delete_records("t", 1)),
        Ask(delete_records("t", 6)),
        Ask(delete_records("t", -2), versions=[2]),
        Ask(delete_records("t", 0, partition=8)),
        Ask(delete_records("nowhere", 0)),
        Ask(list_offsets("t", -2)),
        Ask(delete_records("t", -1)),
        Ask(list_offsets("t", -2)),
        Ask(fetch("t", 5), versions=[4, 12]),
    ],
)

OFFSETS = Scenario(
    "offsets",
    [
        *new_topic("t", 2),
        *new_topic("empty"),
        Ask(produce("t", batch(b"a", b"b", timestamp=NOW - 5000)), versions=[9]),
        Ask(produce("t", batch(b"c", timestamp=NOW - 1000)), versions=[9]),
        Ask(produce("t", batch(b"d", timestamp=NOW - 3000)), versions=[9]),
        Ask(produce("t", batch(b"e" * 80, timestamp=NOW - 1000, compression=Compression.GZIP)), versions=[9]),
        *(Ask(list_offsets("t", stamp)) for stamp in (-1, -2, -3, -4, -5, -6, -7, 0)),
        *(Ask(list_offsets("t", NOW + shift)) for shift in (-9000, -5000, -4999, -3000, -1000, 0)),
        *(Ask(list_offsets("empty", stamp)) for stamp in (-1, -2, -3, 0)),
        Ask(list_offsets("t", -1, isolation_level=1)),
        Ask(list_offsets("t", -3, isolation_level=1)),
        Ask(list_offsets("t", -1, partition=9)),
        Ask(list_offsets("nowhere", -1)),
        Ask(list_offsets("t", -1, current_leader_epoch=0)),
        Ask(list_offsets("t", -1, current_leader_epoch=5)),
        *(Ask(leader_epoch("t", epoch)) for epoch in (0, 1, 5, -1)),
        Ask(leader_epoch("t", 0, current=0)),
        Ask(leader_epoch("t", 0, current=7)),
        Ask(leader_epoch("t", 0, partition=9)),
        Ask(leader_epoch("nowhere", 0)),
        Ask(leader_epoch("empty", 0)),
    ],
)

SCENARIOS = [PRODUCE, PRODUCE_ERRORS, IDEMPOTENCE, FETCH_ERRORS, OFFSETS]
