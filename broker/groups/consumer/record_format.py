"""
The records of consumer groups in __consumer_offsets, in Kafka's own formats.

A key is its kind as i16 and the classic strings (i16 length, UTF-8) below. A value is its version (i16, always 0) and
a *flexible* body: compact strings, bytes and arrays (unsigned varint of length + 1, where 0 is null), tagged fields at
the end of every structure.

    kind  key              value
    3     group            group epoch i32; tag 0: metadata hash i64
    4     group            written by Kafka before 4.1; passed over
    5     group, member    instance id?, rack id?, client id, client host, [subscribed name], regular expression?,
                           rebalance timeout i32, assignor?;
                           tag 0: i8 1, session timeout i32, [protocol name, metadata bytes] of a classic member
    6     group            assignment epoch i32; tag 0: assignment timestamp i64
    7     group, member    [topic id, [partition i32]]
    8     group, member    member epoch i32, previous member epoch i32, state i8, assigned, pending revocation, both
                           [topic id, [partition i32]; tag 0: [assignment epoch i32]]
    16    group, regex     [topic name], version i64, timestamp i64

The metadata hash is a number of our own making: Kafka, when it reads our log, finds another one and assigns anew once.

Source  Kafka 4.3.1's ConsumerGroup*Key and ConsumerGroup*Value
"""

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import assert_never
from uuid import UUID

from broker.groups.consumer.flexible import FlexibleReader, FlexibleWriter
from broker.groups.consumer.stored import (
    ConsumerGroupRecord,
    CurrentRecord,
    GroupEpochRecord,
    MemberRecord,
    RegexRecord,
    TargetEpochRecord,
    TargetRecord,
)
from broker.groups.consumer.values import (
    ClassicProtocols,
    CurrentAssignment,
    GroupEpoch,
    MemberMetadata,
    MemberState,
    OwnedPartitions,
    Partitions,
    ResolvedRegex,
    TargetEpoch,
)
from broker.groups.offset_log import LogRecord
from broker.identifiers import TopicId

_KIND = Struct(">h")
_VERSION = b"\0\0"

GROUP, MEMBER, TARGET_EPOCH, TARGET, CURRENT, REGEX = 3, 5, 6, 7, 8, 16
KINDS = frozenset((GROUP, MEMBER, TARGET_EPOCH, TARGET, CURRENT, REGEX))


def encode(record: ConsumerGroupRecord) -> LogRecord:
    """The key and value of *record*."""
    match record:
        case GroupEpochRecord(group_id, epoch):
            return LogRecord(_key(GROUP, group_id), None if epoch is None else _group(epoch))
        case MemberRecord(group_id, member_id, member):
            return LogRecord(_key(MEMBER, group_id, member_id), None if member is None else _member(member))
        case TargetEpochRecord(group_id, target_epoch):
            value = None if target_epoch is None else _target_epoch(target_epoch)
            return LogRecord(_key(TARGET_EPOCH, group_id), value)
        case TargetRecord(group_id, member_id, target):
            return LogRecord(_key(TARGET, group_id, member_id), None if target is None else _target(target))
        case CurrentRecord(group_id, member_id, current):
            return LogRecord(_key(CURRENT, group_id, member_id), None if current is None else _current(current))
        case RegexRecord(group_id, regex, resolved):
            return LogRecord(_key(REGEX, group_id, regex), None if resolved is None else _regex(resolved))
        case _:
            assert_never(record)


def decode(kind: int, group_id: str, second: str, value: bytes | None) -> ConsumerGroupRecord:
    """
    The record of a key of one of KINDS; *second* is its member id or regular expression, "" for the kinds without.
    Raises ValueError and struct.error for a value that is not what its version says.
    """
    reader = None if value is None else FlexibleReader(value)
    match kind:
        case 3:
            return GroupEpochRecord(group_id, None if reader is None else _read_group(reader))
        case 5:
            return MemberRecord(group_id, second, None if reader is None else _read_member(reader))
        case 6:
            return TargetEpochRecord(group_id, None if reader is None else _read_target_epoch(reader))
        case 7:
            return TargetRecord(group_id, second, None if reader is None else _read_target(reader))
        case 8:
            return CurrentRecord(group_id, second, None if reader is None else _read_current(reader))
        case 16:
            return RegexRecord(group_id, second, None if reader is None else _read_regex(reader))
        case _:
            raise ValueError(f"kind {kind} is none of {sorted(KINDS)}")


def has_second(kind: int) -> bool:
    """Whether the key of *kind* has a second string after the group."""
    return kind in (MEMBER, TARGET, CURRENT, REGEX)


def _key(kind: int, *names: str) -> bytes:
    raw = [name.encode() for name in names]
    return _KIND.pack(kind) + b"".join(_KIND.pack(len(each)) + each for each in raw)


def _group(epoch: GroupEpoch) -> bytes:
    writer = FlexibleWriter(_VERSION)
    writer.i32(epoch.epoch)
    writer.tags({0: FlexibleWriter().i64(epoch.metadata_hash).data} if epoch.metadata_hash else {})
    return writer.data


def _read_group(reader: FlexibleReader) -> GroupEpoch:
    reader.version()
    epoch = reader.i32()
    hashed = reader.tags().get(0)
    return GroupEpoch(epoch, 0 if hashed is None else FlexibleReader(hashed).i64())


def _member(member: MemberMetadata) -> bytes:
    writer = FlexibleWriter(_VERSION)
    writer.string(member.instance_id).string(member.rack_id)
    writer.string(member.client_id).string(member.client_host)
    writer.strings(sorted(member.subscribed_names))
    writer.string(member.subscribed_regex)
    writer.i32(member.rebalance_timeout_ms)
    writer.string(member.assignor)
    writer.tags({} if member.classic is None else {0: _classic(member.classic)})
    return writer.data


def _classic(classic: ClassicProtocols) -> bytes:
    writer = FlexibleWriter(b"\1")
    writer.i32(classic.session_timeout_ms)
    writer.length(len(classic.protocols))
    for name, metadata in classic.protocols:
        writer.string(name).sized_bytes(metadata).tags({})
    return writer.tags({}).data


def _read_member(reader: FlexibleReader) -> MemberMetadata:
    reader.version()
    instance_id, rack_id = reader.optional_string(), reader.optional_string()
    client_id, client_host = reader.string(), reader.string()
    names = frozenset(reader.string() for _ in range(reader.length()))
    regex = reader.optional_string()
    rebalance_timeout_ms = reader.i32()
    assignor = reader.optional_string()
    classic = reader.tags().get(0)
    return MemberMetadata(
        instance_id=instance_id,
        rack_id=rack_id,
        client_id=client_id,
        client_host=client_host,
        subscribed_names=names,
        subscribed_regex=regex,
        rebalance_timeout_ms=rebalance_timeout_ms,
        assignor=assignor,
        classic=None if classic is None else _read_classic(FlexibleReader(classic)),
    )


def _read_classic(reader: FlexibleReader) -> ClassicProtocols | None:
    if reader.i8() < 0:
        return None
    session_timeout_ms = reader.i32()
    protocols: list[tuple[str, bytes]] = []
    for _ in range(reader.length()):
        protocols.append((reader.string(), reader.sized_bytes()))
        reader.tags()
    return ClassicProtocols(session_timeout_ms, tuple(protocols))


def _target_epoch(target: TargetEpoch) -> bytes:
    writer = FlexibleWriter(_VERSION)
    writer.i32(target.epoch)
    writer.tags({0: FlexibleWriter().i64(target.timestamp_ms).data} if target.timestamp_ms else {})
    return writer.data


def _read_target_epoch(reader: FlexibleReader) -> TargetEpoch:
    reader.version()
    epoch = reader.i32()
    timestamp = reader.tags().get(0)
    return TargetEpoch(epoch, 0 if timestamp is None else FlexibleReader(timestamp).i64())


def _target(target: Partitions) -> bytes:
    writer = FlexibleWriter(_VERSION)
    writer.length(len(target))
    for topic_id, partitions in target.items():
        _topic(writer, topic_id, sorted(partitions))
        writer.tags({})
    return writer.tags({}).data


def _read_target(reader: FlexibleReader) -> Partitions:
    reader.version()
    target: dict[TopicId, frozenset[int]] = {}
    for _ in range(reader.length()):
        topic_id, partitions = _read_topic(reader)
        target[topic_id] = frozenset(partitions)
        reader.tags()
    return target


def _current(current: CurrentAssignment) -> bytes:
    writer = FlexibleWriter(_VERSION)
    writer.i32(current.member_epoch).i32(current.previous_epoch).i8(current.state)
    for owned in (current.assigned, current.pending_revocation):
        writer.length(len(owned))
        for topic_id, epochs in owned.items():
            partitions = sorted(epochs)
            _topic(writer, topic_id, partitions)
            given_out = FlexibleWriter().length(len(partitions))
            for partition in partitions:
                given_out.i32(epochs[partition])
            writer.tags({0: given_out.data})
    return writer.tags({}).data


def _read_current(reader: FlexibleReader) -> CurrentAssignment:
    reader.version()
    member_epoch, previous_epoch = reader.i32(), reader.i32()
    state = reader.i8()
    assigned = _read_owned(reader, member_epoch)
    pending = _read_owned(reader, member_epoch)
    return CurrentAssignment(
        member_epoch=member_epoch,
        previous_epoch=previous_epoch,
        state=MemberState(state),
        assigned=assigned,
        pending_revocation=pending,
    )


def _read_owned(reader: FlexibleReader, member_epoch: int) -> OwnedPartitions:
    owned: dict[TopicId, Mapping[int, int]] = {}
    for _ in range(reader.length()):
        topic_id, partitions = _read_topic(reader)
        epochs = [member_epoch] * len(partitions)
        given_out = reader.tags().get(0)
        if given_out is not None:
            within = FlexibleReader(given_out)
            # Null, as Kafka before 4.3 would have it: not earlier than the member's own epoch.
            count = within.length()
            if count == len(partitions):
                epochs = [within.i32() for _ in range(count)]
        owned[topic_id] = dict(zip(partitions, epochs, strict=True))
    return owned


def _regex(resolved: ResolvedRegex) -> bytes:
    writer = FlexibleWriter(_VERSION)
    writer.strings(sorted(resolved.topics)).i64(resolved.version).i64(resolved.timestamp_ms)
    return writer.tags({}).data


def _read_regex(reader: FlexibleReader) -> ResolvedRegex:
    reader.version()
    topics = frozenset(reader.string() for _ in range(reader.length()))
    return ResolvedRegex(topics, reader.i64(), reader.i64())


def _topic(writer: FlexibleWriter, topic_id: TopicId, partitions: Sequence[int]) -> None:
    writer.raw(topic_id.bytes).length(len(partitions))
    for partition in partitions:
        writer.i32(partition)


def _read_topic(reader: FlexibleReader) -> tuple[TopicId, list[int]]:
    topic_id = TopicId(UUID(bytes=reader.raw(16)))
    return topic_id, [reader.i32() for _ in range(reader.length())]
