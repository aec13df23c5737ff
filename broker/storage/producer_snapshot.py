"""
The file form of a partition's producer state, taken when a segment is rolled and when the log is closed.

Layout (big-endian), in a file named after the offset that it stands before
    0  i16  version               1
    2  u32  CRC-32C               over byte 6 to the end
    6  i32  entry count, then for each entry (46 bytes):
         0  i64  producer id
         8  i16  producer epoch
        10  i32  last sequence      -1: the epoch has written nothing yet
        14  i64  last offset
        22  i32  offset delta       last offset - base offset of the batch
        26  i64  timestamp          the batch's largest, ms
        34  i32  coordinator epoch  -1: no marker yet
        38  i64  first offset of the open transaction, -1: none
Entries     one per kept batch, oldest first, up to 5 a producer. Kafka writes the last batch only; its tools read this
            file too and take the last entry of a producer, which says the same. So a retry of any of a producer's last
            five batches is known for what it is after a restart as well
Durability  a snapshot whose CRC is wrong is passed over for an older one: more of the log is read then
Source      Kafka's ProducerStateManager, ProducerSnapshot
"""

from struct import Struct

from broker.errors import BrokerError
from broker.records.checksum import crc32c
from broker.records.header import NO_SEQUENCE, SEQUENCE_MAX
from broker.storage.producer_state import ProducerState, StoredBatch

_VERSION = 1
_PREFIX = Struct(">hIi")
_ENTRY = Struct(">qhiqiqiq")
_CRC_START = 6


class UnsoundSnapshot(BrokerError):
    """A snapshot file that is not one, or not whole."""


def snapshot_bytes(states: list[ProducerState]) -> bytes:
    """The content of a snapshot of *states*."""
    entries = b"".join(
        _ENTRY.pack(
            state.producer_id,
            state.producer_epoch,
            batch.last_sequence,
            batch.last_offset,
            batch.last_offset - batch.base_offset,
            batch.timestamp,
            state.coordinator_epoch,
            -1 if state.transaction_start is None else state.transaction_start,
        )
        for state in states
        for batch in state.batches or (_nothing_written(state),)
    )
    content = bytearray(_PREFIX.pack(_VERSION, 0, len(entries) // _ENTRY.size) + entries)
    content[2:6] = crc32c(memoryview(content)[_CRC_START:]).to_bytes(4, "big")
    return bytes(content)


def parse_snapshot(content: bytes, now_ms: int) -> list[ProducerState]:
    """The reverse of snapshot_bytes(), the producers counted as seen now. Raises UnsoundSnapshot."""
    if len(content) < _PREFIX.size:
        raise UnsoundSnapshot(f"{len(content)} bytes, the shortest snapshot has {_PREFIX.size}")
    version, crc, count = _PREFIX.unpack_from(content)
    if version != _VERSION:
        raise UnsoundSnapshot(f"version {version}, {_VERSION} is known")
    if crc != crc32c(memoryview(content)[_CRC_START:]):
        raise UnsoundSnapshot(f"the CRC does not match its {len(content)} bytes")
    if count * _ENTRY.size != len(content) - _PREFIX.size:
        raise UnsoundSnapshot(f"{count} entries in {len(content)} bytes")
    states: dict[int, ProducerState] = {}
    for entry in _ENTRY.iter_unpack(memoryview(content)[_PREFIX.size :]):
        producer_id, epoch, last_sequence, last_offset, offset_delta, timestamp, coordinator_epoch, start = entry
        state = states.get(producer_id)
        if state is None:
            state = states[producer_id] = ProducerState(producer_id, epoch, timestamp, now_ms)
        state.last_timestamp = timestamp
        state.coordinator_epoch = coordinator_epoch
        state.transaction_start = None if start < 0 else start
        if last_sequence != NO_SEQUENCE:
            base_sequence = (last_sequence - offset_delta) & SEQUENCE_MAX
            state.batches.append(
                StoredBatch(base_sequence, last_sequence, last_offset - offset_delta, last_offset, timestamp)
            )
    return list(states.values())


def _nothing_written(state: ProducerState) -> StoredBatch:
    return StoredBatch(NO_SEQUENCE, NO_SEQUENCE, -1, -1, state.last_timestamp)
