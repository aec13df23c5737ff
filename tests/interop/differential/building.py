"""Requests that many scenarios are made of, and the record batches in them."""

import gzip
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from broker.records import Compression, NewRecord, build_batch, parse_header
from broker.records.header import HEADER_SIZE, write_header
from broker.wire.declaration import Message
from broker.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from broker.wire.messages.groups import JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse
from broker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse
from broker.wire.messages.offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic
from broker.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from broker.wire.messages.topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from broker.wire.messages.transactions import InitProducerIdRequest, InitProducerIdResponse
from tests.interop.differential.scenario import Ask, Build, Known, Learn, Settle, Step

# Records are stamped with one time near to now, the same in both brokers: far from it they would be refused.
NOW = int(time.time() * 1000)


def new_topic(label: str, partitions: int = 1, configs: Mapping[str, str] | None = None) -> list[Step]:
    """Creates a topic, learns its id and waits until it can be used."""

    def create(known: Known) -> CreateTopicsRequest:
        entries = [CreatableTopicConfig(name=key, value=value) for key, value in (configs or {}).items()]
        topic = CreatableTopic(name=known.name(label), num_partitions=partitions, replication_factor=1, configs=entries)
        return CreateTopicsRequest(topics=[topic], timeout_ms=10_000)

    return [Ask(create, versions=[7], learn=_learn_created), *settled(label)]


def settled(label: str) -> list[Step]:
    """Waits until the topic is in the metadata, with a leader for every partition that takes requests."""

    def ask(known: Known) -> MetadataRequest:
        return MetadataRequest(topics=[MetadataRequestTopic(name=known.name(label))], allow_auto_topic_creation=False)

    def done(answer: Message) -> bool:
        topics = cast("MetadataResponse", answer).topics
        return all(topic.error_code == 0 and all(p.error_code == 0 for p in topic.partitions) for topic in topics)

    def leads(answer: Message) -> bool:
        topics = cast("ListOffsetsResponse", answer).topics
        return all(partition.error_code in {0, 3} for topic in topics for partition in topic.partitions)

    return [
        Settle(ask, done, learn=_learn_described, version=12),
        *(Settle(list_offsets(label, -1, partition=index), leads, version=7) for index in range(4)),
    ]


def _learn_created(known: Known, answer: Message) -> None:
    for topic in cast("CreateTopicsResponse", answer).topics:
        known.learn_id(topic.name, topic.topic_id)


def _learn_described(known: Known, answer: Message) -> None:
    for topic in cast("MetadataResponse", answer).topics:
        if topic.name is not None:
            known.learn_id(topic.name, topic.topic_id)


def records(*values: bytes, timestamp: int = NOW, key: bytes | None = b"k") -> list[NewRecord]:
    return [NewRecord(key, value, timestamp) for value in values]


def batch(
    *values: bytes,
    timestamp: int = NOW,
    key: bytes | None = b"k",
    compression: Compression = Compression.NONE,
    producer: tuple[int, int, int] = (-1, -1, -1),
    transactional: bool = False,
    control: bool = False,
) -> bytearray:
    """One batch of *values*; *producer* is id, epoch and base sequence."""
    plain = build_batch(
        records(*(values or (b"value",)), timestamp=timestamp, key=key),
        timestamp=timestamp,
        producer_id=producer[0],
        producer_epoch=producer[1],
        base_sequence=producer[2],
        transactional=transactional,
        control=control,
    )
    if compression is Compression.NONE:
        return plain
    header, body = parse_header(plain), bytes(plain[HEADER_SIZE:])
    packed = plain[:HEADER_SIZE] + _packed(compression, body)
    write_header(
        packed,
        header._replace(
            attributes=header.attributes | compression, batch_length=header.batch_length + len(packed) - len(plain)
        ),
    )
    return packed


def _packed(compression: Compression, body: bytes) -> bytes:
    """
    *body* (61 to 255 bytes) as each codec stores what it cannot make smaller.

    Written by hand, so that the test needs no codec's package and both brokers get the same bytes.
    """
    assert 60 < len(body) < 256, len(body)
    match compression:
        case Compression.NONE:
            return body
        case Compression.GZIP:
            return gzip.compress(body, mtime=0)
        case Compression.SNAPPY:
            return bytes([0x80 | len(body) & 0x7F, len(body) >> 7, 60 << 2, len(body) - 1]) + body
        case Compression.LZ4:
            block = struct.pack("<I", 0x80000000 | len(body)) + body
            return bytes.fromhex("04224d18604082") + block + bytes(4)
        case Compression.ZSTD:
            return bytes.fromhex("28b52ffd20") + bytes([len(body)]) + struct.pack("<I", len(body) << 3 | 1)[:3] + body


def altered(data: bytearray, **fields: int) -> bytearray:
    """The same batch with other values in its header, its CRC right again."""
    copy = bytearray(data)
    write_header(copy, parse_header(copy)._replace(**fields))
    return copy


def produce(
    label: str,
    data: bytes | bytearray | Callable[[Known], bytes | bytearray] | None,
    *,
    partition: int = 0,
    acks: int = -1,
    transactional_id: str | None = None,
) -> Build:
    """One batch for one partition, by name or by id as the version wants it."""

    def build(known: Known) -> ProduceRequest:
        content = data(known) if callable(data) else data
        return ProduceRequest(
            transactional_id=None if transactional_id is None else known.name(transactional_id),
            acks=acks,
            timeout_ms=5000,
            topic_data=[
                TopicProduceData(
                    name=known.name(label),
                    topic_id=known.id(label),
                    partition_data=[
                        PartitionProduceData(index=partition, records=None if content is None else memoryview(content))
                    ],
                )
            ],
        )

    return build


def fetch(
    label: str,
    offset: int = 0,
    *,
    partition: int = 0,
    partition_max_bytes: int = 1 << 20,
    max_bytes: int = 1 << 20,
    min_bytes: int = 0,
    max_wait_ms: int = 0,
    isolation_level: int = 0,
    current_leader_epoch: int = -1,
    last_fetched_epoch: int = -1,
    replica_id: int = -1,
    session: tuple[int, int] = (0, -1),
) -> Build:
    """One partition from *offset* on; *session* is the fetch session's id and epoch (0, -1: none)."""

    def build(known: Known) -> FetchRequest:
        return FetchRequest(
            replica_id=replica_id,
            max_wait_ms=max_wait_ms,
            min_bytes=min_bytes,
            max_bytes=max_bytes,
            isolation_level=isolation_level,
            session_id=session[0],
            session_epoch=session[1],
            topics=[
                FetchTopic(
                    topic=known.name(label),
                    topic_id=known.id(label),
                    partitions=[
                        FetchPartition(
                            partition=partition,
                            current_leader_epoch=current_leader_epoch,
                            fetch_offset=offset,
                            last_fetched_epoch=last_fetched_epoch,
                            partition_max_bytes=partition_max_bytes,
                        )
                    ],
                )
            ],
        )

    return build


def list_offsets(
    label: str, timestamp: int, *, partition: int = 0, isolation_level: int = 0, current_leader_epoch: int = -1
) -> Build:
    def build(known: Known) -> ListOffsetsRequest:
        asked = ListOffsetsPartition(
            partition_index=partition, timestamp=timestamp, current_leader_epoch=current_leader_epoch
        )
        topic = ListOffsetsTopic(name=known.name(label), partitions=[asked])
        return ListOffsetsRequest(replica_id=-1, isolation_level=isolation_level, topics=[topic], timeout_ms=5000)

    return build


def init_producer(
    label: str, transactional_id: str | None = None, *, timeout_ms: int = 60_000, again: bool = False
) -> list[Step]:
    """A producer id, remembered as `LABEL.id` and `LABEL.epoch`; *again* brings what was remembered along."""

    def build(known: Known) -> InitProducerIdRequest:
        return InitProducerIdRequest(
            transactional_id=None if transactional_id is None else known.name(transactional_id),
            transaction_timeout_ms=timeout_ms,
            producer_id=known.number(f"{label}.id") if again else -1,
            producer_epoch=known.number(f"{label}.epoch") if again else -1,
        )

    return [Ask(build, versions=[4], learn=learn_producer(label))]


def learn_producer(label: str) -> Learn:
    def learn(known: Known, answer: Message) -> None:
        told = cast("InitProducerIdResponse", answer)
        known.values[f"{label}.id"], known.values[f"{label}.epoch"] = told.producer_id, told.producer_epoch

    return learn


def from_producer(
    label: str, sequence: int, *values: bytes, epoch: int = 0, transactional: bool = False, control: bool = False
) -> Callable[[Known], bytearray]:
    """A batch of the producer *label*; *epoch* is added to the one that it was given."""

    def build(known: Known) -> bytearray:
        producer = (known.number(f"{label}.id"), known.number(f"{label}.epoch") + epoch, sequence)
        return batch(*values, producer=producer, transactional=transactional, control=control)

    return build


def subscription(*topics: str) -> bytes:
    """A member's metadata in the classic protocol of consumers, version 0."""
    body = b"\x00\x00" + len(topics).to_bytes(4, "big")
    for topic in topics:
        body += len(topic).to_bytes(2, "big") + topic.encode()
    return body + b"\xff\xff\xff\xff"


def join(
    group: str,
    member: str = "",
    *,
    instance: str | None = None,
    protocols: Sequence[str] = ("range",),
    protocol_type: str = "consumer",
    session_timeout_ms: int = 10_000,
    topic: str = "topic",
) -> Build:
    """A member of *group* by the id remembered as *member*, by *member* itself, or without an id."""

    def build(known: Known) -> JoinGroupRequest:
        return JoinGroupRequest(
            group_id=known.name(group) if group else "",
            session_timeout_ms=session_timeout_ms,
            rebalance_timeout_ms=10_000,
            member_id=known.text(member) if member in known.values else member,
            group_instance_id=instance,
            protocol_type=protocol_type,
            protocols=[
                JoinGroupRequestProtocol(name=name, metadata=subscription(known.name(topic))) for name in protocols
            ],
        )

    return build


def learn_member(label: str) -> Learn:
    """Remembers the member id as *label* and the generation as `LABEL.generation`."""

    def learn(known: Known, answer: Message) -> None:
        told = cast("JoinGroupResponse", answer)
        known.values[label], known.values[f"{label}.generation"] = told.member_id, told.generation_id

    return learn
