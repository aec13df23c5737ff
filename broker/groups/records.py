"""
The records of __consumer_offsets, in Kafka's own formats, so that Kafka's tools can read them.

All integers are big-endian; a string is i16 length and UTF-8, length -1 is null; bytes are i32 length and bytes. Each
key and value begins with its version as i16.

    OffsetCommitKey v1        group string, topic string, partition i32
    OffsetCommitValue v3      offset i64, leader epoch i32, metadata string, commit timestamp i64
    GroupMetadataKey v2       group string
    GroupMetadataValue v3     protocol type string, generation i32, protocol string?, leader string?,
                              state timestamp i64, i32 members, each:
                              id string, instance id string?, client id string, client host string,
                              rebalance timeout i32, session timeout i32, subscription bytes, assignment bytes

Written are these versions; read are also the older ones (key v0, values v0-2), which Kafka has written. A key of
another version is a consumer group's (see consumer/record_format), or belongs to a kind of group that is passed over.

Source  Kafka 4.3's OffsetCommitKey, OffsetCommitValue, GroupMetadataKey, GroupMetadataValue.
"""

from struct import Struct, error
from typing import NamedTuple, TypeAlias

from broker.groups.consumer import record_format
from broker.groups.consumer.stored import ConsumerGroupRecord
from broker.groups.offset_log import LogRecord
from broker.groups.values import CommittedOffset, StoredGroup, StoredMember
from broker.identifiers import TopicPartition

_I16 = Struct(">h")
_I32 = Struct(">i")
_I64 = Struct(">q")

_OFFSET_KEY, _OFFSET_KEYS = 1, (0, 1)
_GROUP_KEY = 2
_OFFSET_VALUE = 3
_GROUP_VALUE = 3


class UnreadableRecord(ValueError):
    """A key or value that is not what its version says."""


class OffsetRecord(NamedTuple):
    """A group's commit for one partition; None takes it back."""

    group_id: str
    partition: TopicPartition
    committed: CommittedOffset | None


class GroupRecord(NamedTuple):
    """A group's generation; None takes the group back."""

    group_id: str
    group: StoredGroup | None


CoordinatorRecord: TypeAlias = OffsetRecord | GroupRecord | ConsumerGroupRecord


def encode(record: CoordinatorRecord) -> LogRecord:
    """The key and value of *record*."""
    match record:
        case OffsetRecord(group_id, partition, committed):
            key = _I16.pack(_OFFSET_KEY) + _string(group_id) + _string(partition.topic) + _I32.pack(partition.partition)
            return LogRecord(key, None if committed is None else _offset_value(committed))
        case GroupRecord(group_id, group):
            return LogRecord(_I16.pack(_GROUP_KEY) + _string(group_id), None if group is None else _group_value(group))
        case _:
            return record_format.encode(record)


def decode(record: LogRecord) -> CoordinatorRecord | None:
    """The reverse; None for a key of a kind that is not ours. Raises UnreadableRecord."""
    try:
        key = _Reader(record.key)
        version = key.i16()
        if version in _OFFSET_KEYS:
            group_id, partition = key.string(), TopicPartition(key.string(), key.i32())
            return OffsetRecord(group_id, partition, None if record.value is None else _read_offset(record.value))
        if version == _GROUP_KEY:
            return GroupRecord(key.string(), None if record.value is None else _read_group(record.value))
        if version in record_format.KINDS:
            group_id = key.string()
            second = key.string() if record_format.has_second(version) else ""
            return record_format.decode(version, group_id, second, record.value)
    except UnreadableRecord:
        raise
    except (error, ValueError) as cause:
        raise UnreadableRecord(f"key {record.key!r}: {cause}") from cause
    return None


def _string(value: str | None) -> bytes:
    if value is None:
        return _I16.pack(-1)
    raw = value.encode()
    return _I16.pack(len(raw)) + raw


def _bytes(value: bytes) -> bytes:
    return _I32.pack(len(value)) + value


def _offset_value(committed: CommittedOffset) -> bytes:
    return b"".join(
        (
            _I16.pack(_OFFSET_VALUE),
            _I64.pack(committed.offset),
            _I32.pack(committed.leader_epoch),
            _string(committed.metadata),
            _I64.pack(committed.commit_timestamp_ms),
        )
    )


def _group_value(group: StoredGroup) -> bytes:
    head = (
        _I16.pack(_GROUP_VALUE),
        _string(group.protocol_type),
        _I32.pack(group.generation),
        _string(group.protocol),
        _string(group.leader),
        _I64.pack(group.state_timestamp_ms),
        _I32.pack(len(group.members)),
    )
    return b"".join(head) + b"".join(map(_member, group.members))


def _member(member: StoredMember) -> bytes:
    return b"".join(
        (
            _string(member.member_id),
            _string(member.instance_id),
            _string(member.client_id),
            _string(member.client_host),
            _I32.pack(member.rebalance_timeout_ms),
            _I32.pack(member.session_timeout_ms),
            _bytes(member.subscription),
            _bytes(member.assignment),
        )
    )


def _read_offset(value: bytes) -> CommittedOffset:
    reader = _Reader(value)
    version = reader.version("OffsetCommitValue", _OFFSET_VALUE)
    offset = reader.i64()
    leader_epoch = reader.i32() if version >= 3 else -1
    return CommittedOffset(offset, leader_epoch, reader.string(), reader.i64())


def _read_group(value: bytes) -> StoredGroup:
    reader = _Reader(value)
    version = reader.version("GroupMetadataValue", _GROUP_VALUE)
    protocol_type, generation = reader.string(), reader.i32()
    protocol, leader = reader.optional_string(), reader.optional_string()
    state_timestamp_ms = reader.i64() if version >= 2 else -1
    members = tuple(_read_member(reader, version) for _ in range(reader.i32()))
    return StoredGroup(protocol_type, generation, protocol, leader, state_timestamp_ms, members)


def _read_member(reader: "_Reader", version: int) -> StoredMember:
    member_id = reader.string()
    instance_id = reader.optional_string() if version >= 3 else None
    client_id, client_host = reader.string(), reader.string()
    rebalance_timeout_ms = reader.i32() if version >= 1 else -1
    session_timeout_ms = reader.i32()
    return StoredMember(
        member_id,
        instance_id,
        client_id,
        client_host,
        rebalance_timeout_ms,
        session_timeout_ms,
        reader.sized_bytes(),
        reader.sized_bytes(),
    )


class _Reader:
    """Reads one key or value from its front; struct.error and UnreadableRecord for what is too short."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def version(self, what: str, highest: int) -> int:
        version = self.i16()
        if not 0 <= version <= highest:
            raise UnreadableRecord(f"{what} v{version}: this version of the broker reads v0 to v{highest}")
        return version

    def i16(self) -> int:
        return self._integer(_I16)

    def i32(self) -> int:
        return self._integer(_I32)

    def i64(self) -> int:
        return self._integer(_I64)

    def string(self) -> str:
        value = self.optional_string()
        if value is None:
            raise UnreadableRecord(f"null at byte {self._position} where a text belongs")
        return value

    def optional_string(self) -> str | None:
        length = self.i16()
        return None if length < 0 else self._take(length).decode()

    def sized_bytes(self) -> bytes:
        return self._take(self.i32())

    def _integer(self, struct: Struct) -> int:
        value: int = struct.unpack_from(self._data, self._position)[0]
        self._position += struct.size
        return value

    def _take(self, length: int) -> bytes:
        end = self._position + length
        if length < 0 or end > len(self._data):
            raise UnreadableRecord(f"{length} bytes announced at byte {self._position}, the end is {len(self._data)}")
        taken = self._data[self._position : end]
        self._position = end
        return taken
