"""
Brokers that are broken on purpose, to try the checker's teeth. Each plants one fault into its own process.

A fault is planted by putting another function in a class's place, before the broker is made.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from broker.errors import ErrorCode
from broker.handlers import fetch as fetch_handler
from broker.records import BatchHeader, Marker, MarkerKind
from broker.server.connection import Connection
from broker.server.dispatch import Dispatcher
from broker.server.offset_log import GroupTransactions, PartitionOffsetLog
from broker.server.outbound import Piece
from broker.storage import Appended, AppendOrigin, PartitionLog
from broker.storage.cleaner import Cleaner
from broker.storage.producer_state import Producers, StoredBatch
from broker.topics import Partition
from broker.transactions import Producer, TransactionCoordinator
from broker.transactions import state as transaction_state
from broker.transactions.values import TransactionState
from broker.wire.messages.fetch import FetchPartitionData

WRITES_AFTER_S = 0.15


@dataclass(frozen=True, slots=True)
class PlantedFault:
    """What is wrong, which invariants it must be found under, and what plants it."""

    words: str
    invariants: frozenset[int]
    plant: Callable[[], None]


def _acks_before_the_write() -> None:
    waiting: dict[Partition, int] = defaultdict(int)
    write = Partition.append

    def append(self: Partition, records: memoryview, origin: AppendOrigin = AppendOrigin.CLIENT) -> Appended:
        if origin is not AppendOrigin.CLIENT:
            return write(self, records, origin)
        count = int.from_bytes(records[57:61], "big")
        base_offset = self.log.next_offset + waiting[self]
        waiting[self] += count
        held = bytearray(records)

        def late() -> None:
            waiting[self] -= count
            write(self, memoryview(held), origin)

        asyncio.get_running_loop().call_later(WRITES_AFTER_S, late)
        return Appended(base_offset, base_offset + count - 1, -1, self.log.log_start_offset, duplicate=False)

    _put(Partition, "append", append)


def _write_nothing(self: PartitionOffsetLog, *_: object) -> int:
    return self.end_offset


def _no_aborted(*_: object) -> list[object]:
    return []


def _never_refused(*_: object) -> ErrorCode:
    return ErrorCode.NONE


def _offsets_not_durable() -> None:
    _put(PartitionOffsetLog, "append", _write_nothing)


def _lso_ignored() -> None:
    _put(PartitionLog, "last_stable_offset", property(lambda self: self.high_watermark))


def _duplicates_accepted() -> None:
    check = Producers.check

    def no_duplicate(self: Producers, header: BatchHeader) -> StoredBatch | None:
        check(self, header)
        return None

    _put(Producers, "check", no_duplicate)


def _aborted_records_visible() -> None:
    _put(fetch_handler, "_aborted", _no_aborted)


def _ends_hit_the_next_transaction() -> None:
    end = TransactionCoordinator.end

    def end_whatever_is_open(
        self: TransactionCoordinator, transactional_id: str, producer: Producer, **more: Any
    ) -> None:
        # The epoch is not looked at: who ended the transaction before ends this one as well.
        known = self.describe(transactional_id)
        if known is not None and known.state is TransactionState.ONGOING:
            producer = known.producer
        end(self, transactional_id, producer, **more)

    _put(TransactionCoordinator, "end", end_whatever_is_open)


def _compaction_drops_the_last() -> None:
    stays = Cleaner._stays

    def stays_unless_last(self: Cleaner, record: Any, header: BatchHeader) -> bool:
        return stays(self, record, header) and record.offset % 3 != 0

    _put(Cleaner, "_stays", stays_unless_last)


def _high_watermark_beyond_the_end() -> None:
    def beyond(*, high_watermark: int, **more: Any) -> FetchPartitionData:
        return FetchPartitionData(high_watermark=high_watermark + 3 if high_watermark >= 0 else -1, **more)

    _put(fetch_handler, "FetchPartitionData", beyond)


def _zombies_not_fenced() -> None:
    _put(transaction_state, "_refuse", _never_refused)
    check = Producers.check

    def any_epoch(self: Producers, header: BatchHeader) -> StoredBatch | None:
        state = self._states.get(header.producer_id)
        if state is not None and header.producer_epoch < state.producer_epoch:
            return None
        return check(self, header)

    _put(Producers, "check", any_epoch)


def _staged_offsets_always_count() -> None:
    end = GroupTransactions.end_transaction

    def commit(self: GroupTransactions, producer: Producer, marker: Marker) -> None:
        end(self, producer, marker._replace(kind=MarkerKind.COMMIT))

    _put(GroupTransactions, "end_transaction", commit)


def _reads_skip_a_batch() -> None:
    read = fetch_handler._Fetch._read

    def read_too_far(self: Any, wanted: Any, bytes_left: int, *, at_least_one_batch: bool) -> Any:
        # Readers of committed records get one batch a time, and now and then one that comes later.
        offset = wanted.asked.fetch_offset
        if not self._request.isolation_level or wanted.partition is None:
            return read(self, wanted, bytes_left, at_least_one_batch=at_least_one_batch)
        if offset % 3 and offset + 20 < wanted.partition.log.last_stable_offset:
            wanted.asked.fetch_offset += 20
        answer = read(self, wanted, min(bytes_left, 1), at_least_one_batch=at_least_one_batch)
        wanted.asked.fetch_offset = offset
        return answer

    _put(fetch_handler._Fetch, "_read", read_too_far)


def _starts_without_the_last_records() -> None:
    opened = PartitionLog.open.__func__  # type: ignore[attr-defined] # a class method's function

    def open_shorter(cls: type[PartitionLog], /, directory: Any, **more: Any) -> PartitionLog:
        log: PartitionLog = opened(cls, directory, **more)
        if not directory.name.startswith("__") and log.next_offset - log.log_start_offset > 5:
            log.truncate_to(log.next_offset - 4)
        return log

    _put(PartitionLog, "open", classmethod(open_shorter))


def _answers_nothing_after_a_restart() -> None:
    handle = Dispatcher.handle

    def mute(self: Dispatcher, connection: Connection, frame: memoryview) -> Sequence[Piece] | None:
        if any(partition.leader_epoch > 0 for partition in self._broker.catalog.partitions()):
            return None
        return handle(self, connection, frame)

    _put(Dispatcher, "handle", mute)


def _put(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)


FAULTS: Mapping[str, PlantedFault] = {
    "acks-before-the-write": PlantedFault("acknowledged, then written", frozenset({1}), _acks_before_the_write),
    "starts-without-the-last-records": PlantedFault(
        "a start cuts what was whole, and its offsets are used again",
        frozenset({1, 2}),
        _starts_without_the_last_records,
    ),
    "duplicates-accepted": PlantedFault(
        "a sequence that was there is stored again", frozenset({3}), _duplicates_accepted
    ),
    "aborted-records-visible": PlantedFault("no aborted transaction is told", frozenset({4}), _aborted_records_visible),
    "lso-ignored": PlantedFault("read_committed reads to the high watermark", frozenset({5, 7}), _lso_ignored),
    "reads-skip-a-batch": PlantedFault("a read begins behind its offset", frozenset({6}), _reads_skip_a_batch),
    "ends-hit-the-next-transaction": PlantedFault(
        "a late EndTxn ends what is open now", frozenset({8}), _ends_hit_the_next_transaction
    ),
    "staged-offsets-always-count": PlantedFault(
        "an abort commits the offsets", frozenset({9}), _staged_offsets_always_count
    ),
    "offsets-not-durable": PlantedFault("committed offsets are in memory only", frozenset({10}), _offsets_not_durable),
    "zombies-not-fenced": PlantedFault("epochs are not looked at", frozenset({11}), _zombies_not_fenced),
    "high-watermark-beyond-the-end": PlantedFault(
        "the high watermark is told too high", frozenset({12}), _high_watermark_beyond_the_end
    ),
    "compaction-drops-the-last": PlantedFault(
        "compaction drops newest records", frozenset({13}), _compaction_drops_the_last
    ),
    "answers-nothing-after-a-restart": PlantedFault(
        "a broker that was killed comes back mute", frozenset({14}), _answers_nothing_after_a_restart
    ),
}
