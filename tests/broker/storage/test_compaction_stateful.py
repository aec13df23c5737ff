"""A compacted log against a dict: whatever happens to it, whoever reads it all builds the same table."""

import shutil
import tempfile
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.records import Compression, Marker, MarkerKind, Record, build_marker, parse_marker
from broker.storage import AppendOrigin
from tests.broker.storage.compacting import Crash, CrashingFileSystem, compact, compacted_bench, put

RETENTION_MS = 1000
Pairs = list[tuple[bytes, bytes | None]]
PAIRS = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.none() | st.integers(0, 99).map(lambda n: b"%d" % n)),
    min_size=1,
    max_size=4,
)
CODECS = st.sampled_from([Compression.NONE, Compression.GZIP, Compression.LZ4])


@dataclass
class Transaction:
    """Its offsets, its producer's batches as (pairs, sequence, offset), and where its marker is: None while open."""

    producer_id: int
    offsets: set[int] = field(default_factory=set[int])
    batches: list[tuple[Pairs, int, int]] = field(default_factory=list[tuple[Pairs, int, int]])
    marker: int | None = None


class CompactedLogMachine(RuleBasedStateMachine):
    """
    `written` is every record that ever was, by offset; `committed` the offsets of those that were not aborted; `staged`
    those of the open transaction. `decided` is what a compaction may have acted on: a truncation cuts behind it, as
    what lies before it may be gone for the sake of what would be cut.
    """

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp())
        self.written: dict[int, Record] = {}
        self.committed: set[int] = set()
        self.staged: set[int] = set()
        self.producer_ids = count(77)
        self.transactions = [Transaction(next(self.producer_ids))]
        self.sequence = 0
        self.idempotent_id = next(self.producer_ids)
        self.idempotent_sequence = 0
        self.next_offset = 0
        self.log_start = 0
        self.decided = 0

    @initialize(
        segment_bytes=st.sampled_from([200, 600, 5000]),
        index_interval_bytes=st.sampled_from([1, 4096]),
        deletes=st.booleans(),
        retention_ms=st.sampled_from([-1, 3 * RETENTION_MS]),
    )
    def open(self, **config: int) -> None:
        self.files = CrashingFileSystem()
        self.bench = compacted_bench(self.path, self.files, delete_retention_ms=RETENTION_MS, **config)

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.bench.log.close(clean=False)
        shutil.rmtree(self.path)

    def wrote(self, pairs: list[tuple[bytes, bytes | None]]) -> set[int]:
        now = self.bench.clock.now_ms()
        offsets = range(self.next_offset, self.next_offset + len(pairs))
        self.written.update(
            {offset: Record(offset, now, key, value, ()) for offset, (key, value) in zip(offsets, pairs, strict=True)}
        )
        self.next_offset += len(pairs)
        self.bench.clock.advance_ms(10)
        return set(offsets)

    # ---- writing

    @rule(pairs=PAIRS, compression=CODECS)
    def append(self, pairs: list[tuple[bytes, bytes | None]], compression: Compression) -> None:
        assert put(self.bench, *pairs, compression=compression).base_offset == self.next_offset
        self.committed |= self.wrote(pairs)

    @rule(pairs=PAIRS, compression=CODECS)
    def append_in_a_transaction(self, pairs: list[tuple[bytes, bytes | None]], compression: Compression) -> None:
        transaction = self.transactions[-1]
        if transaction.marker is not None:
            transaction = Transaction(transaction.producer_id)
            self.transactions.append(transaction)
        batch = {"producer_id": transaction.producer_id, "producer_epoch": 0, "transactional": True}
        appended = put(self.bench, *pairs, compression=compression, base_sequence=self.sequence, **batch)
        assert (appended.base_offset, appended.duplicate) == (self.next_offset, False)
        transaction.batches.append((pairs, self.sequence, self.next_offset))
        self.sequence += len(pairs)
        offsets = self.wrote(pairs)
        transaction.offsets |= offsets
        self.staged |= offsets

    @rule(pairs=PAIRS)
    def append_idempotently_twice(self, pairs: list[tuple[bytes, bytes | None]]) -> None:
        batch = {
            "producer_id": self.idempotent_id,
            "producer_epoch": 0,
            "base_sequence": self.idempotent_sequence,
        }
        for duplicate in (False, True):
            appended = put(self.bench, *pairs, **batch)
            assert (appended.base_offset, appended.duplicate) == (self.next_offset, duplicate)
        self.idempotent_sequence += len(pairs)
        self.committed |= self.wrote(pairs)

    @rule(data=st.data())
    def delete_records(self, data: st.DataObject) -> None:
        before = data.draw(st.integers(0, self.bench.log.last_stable_offset))
        self.log_start = max(self.log_start, before)
        assert self.bench.log.delete_records(before) == self.log_start

    @rule()
    def retain(self) -> None:
        """By time, where cleanup.policy has delete as well, and by the log's start."""
        for deleted in self.bench.log.apply_retention():
            deleted.remove()
        now, config = self.bench.clock.now_ms(), self.bench.config
        start = self.bench.log.log_start_offset
        gone = [self.written[offset].timestamp for offset in range(self.log_start, start) if offset in self.written]
        assert not gone or (config.deletes and config.retention_ms >= 0 and max(gone) < now - config.retention_ms)
        self.log_start = start
        # An open transaction that has expired whole is held open all the same, from the log's start on.
        self.staged = {offset for offset in self.staged if offset >= start} or ({start} if self.staged else set())

    @precondition(lambda self: self.transactions[-1].batches)
    @rule()
    def retry_the_producers_last_batch(self) -> None:
        """Whatever compaction, crashes, truncations and restarts have done, it is known for what it is."""
        transaction = self.transactions[-1]
        pairs, sequence, offset = transaction.batches[-1]
        batch = {"producer_id": transaction.producer_id, "producer_epoch": 0, "transactional": True}
        appended = put(self.bench, *pairs, base_sequence=sequence, **batch)
        assert (appended.base_offset, appended.duplicate) == (offset, True)

    @precondition(lambda self: self.staged)
    @rule(kind=st.sampled_from(MarkerKind))
    def end_the_transaction(self, kind: MarkerKind) -> None:
        now = self.bench.clock.now_ms()
        transaction = self.transactions[-1]
        marker = build_marker(Marker(kind, 0), timestamp=now, producer_id=transaction.producer_id, producer_epoch=0)
        assert self.bench.append_batch(marker, AppendOrigin.COORDINATOR).base_offset == self.next_offset
        transaction.marker = self.next_offset
        self.next_offset += 1
        if kind is MarkerKind.COMMIT:
            self.committed |= transaction.offsets
        self.staged = set()

    @rule()
    def roll(self) -> None:
        self.bench.log.roll()

    @rule()
    def flush(self) -> None:
        self.bench.log.flush()

    @rule(milliseconds=st.sampled_from([100, RETENTION_MS]))
    def wait(self, milliseconds: int) -> None:
        self.bench.clock.advance_ms(milliseconds)

    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        """A transaction whose marker is cut is open again."""
        self.cut(data)

    def cut(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(max(self.log_start, self.decided), self.next_offset))
        self.bench.log.truncate_to(offset)
        next_offset = self.bench.log.next_offset
        # A batch goes as a whole.
        assert offset - 4 < next_offset <= offset
        if next_offset < self.next_offset:
            self.cut_model(next_offset)

    def cut_model(self, next_offset: int) -> None:
        self.next_offset = next_offset
        self.written = {offset: record for offset, record in self.written.items() if offset < next_offset}
        self.committed = {offset for offset in self.committed if offset < next_offset}
        self.staged = {offset for offset in self.staged if offset < next_offset}
        for transaction in self.transactions:
            transaction.offsets = {offset for offset in transaction.offsets if offset < next_offset}
            transaction.batches = [each for each in transaction.batches if each[2] < next_offset]
            if transaction.marker is not None and transaction.marker >= next_offset:
                transaction.marker = None
        self.transactions = [each for each in self.transactions if each.batches or each.marker is not None]
        reopened = self.transactions[-1] if self.transactions and self.transactions[-1].marker is None else None
        if reopened is not None:
            # Nothing of it was compacted, so its producer is known by its batches.
            pairs, sequence, _ = reopened.batches[-1]
            self.sequence = sequence + len(pairs)
            self.committed -= reopened.offsets
            self.staged = self.staged or {max(offset, self.log_start) for offset in reopened.offsets}
        else:
            # Which batch of a producer is its last one now, only the log knows: others go on.
            self.transactions.append(Transaction(next(self.producer_ids)))
            self.sequence = 0
        self.idempotent_id, self.idempotent_sequence = next(self.producer_ids), 0

    # ---- compacting and crashing

    def compaction_begins(self) -> None:
        self.decided = max(self.decided, self.bench.log.last_stable_offset)

    @rule(map_bytes_max=st.sampled_from([200, 500, 1 << 20]), whole=st.booleans())
    def compact(self, map_bytes_max: int, *, whole: bool) -> None:
        if whole:
            self.bench.log.roll()
            self.bench.log.flush()
        self.compaction_begins()
        compact(self.bench, map_bytes_max=map_bytes_max)

    @rule(data=st.data())
    def truncate_while_compacting(self, data: st.DataObject) -> None:
        """The pass comes to nothing, or to what it had in place already."""
        self.bench.log.flush()
        self.compaction_begins()
        compact(self.bench, between=lambda: self.cut(data))

    @rule(operations=st.integers(0, 60), power=st.booleans(), seed=st.none() | st.integers(0, 1000))
    def crash_while_compacting(self, operations: int, seed: int | None, *, power: bool) -> None:
        self.bench.log.roll()
        self.bench.log.flush()
        self.compaction_begins()
        self.files.operations_left = operations
        try:
            compact(self.bench)
        except Crash:
            pass
        finally:
            self.files.operations_left = None
        if power:
            self.lose_power(seed)
        else:
            self.bench.kill()

    @rule()
    def kill(self) -> None:
        self.bench.kill()

    @rule()
    def restart(self) -> None:
        self.bench.restart()

    def lose_power(self, seed: int | None) -> None:
        recovery_point = self.bench.log.recovery_point
        self.bench.log.close(clean=False)
        self.files.power_loss(self.bench.directory, None if seed is None else Random(seed))
        self.bench.open(clean=False, recovery_point=recovery_point, log_start_offset=self.log_start)

    # ---- what always holds

    def read_committed(self) -> list[Record]:
        """As a consumer does it: with the list of aborted transactions, and the markers that end them."""
        log = self.bench.log
        start = log.log_start_offset
        waiting = sorted(log.aborted_in(start, log.next_offset), key=lambda entry: entry.first_offset)
        aborted: set[int] = set()
        records: list[Record] = []
        for batch in log.batches(start, log.last_stable_offset):
            header = batch.header
            while waiting and waiting[0].first_offset <= header.last_offset:
                aborted.add(waiting.pop(0).producer_id)
            if header.is_control:
                if parse_marker(next(batch.records())).kind is MarkerKind.ABORT:
                    aborted.discard(header.producer_id)
            elif not (header.is_transactional and header.producer_id in aborted):
                records += [record for record in batch.records() if record.offset >= start]
        return records

    @invariant()
    def a_reader_builds_the_models_table_from_the_models_records(self) -> None:
        if not hasattr(self, "bench"):
            return
        log = self.bench.log
        assert (log.log_start_offset, log.next_offset, log.high_watermark) == (
            self.log_start,
            self.next_offset,
            self.next_offset,
        )
        stable = log.last_stable_offset
        assert stable == min(self.staged, default=self.next_offset)
        records = self.read_committed()
        offsets = [record.offset for record in records]
        assert offsets == sorted(set(offsets))
        assert all(record == self.written[record.offset] and record.offset in self.committed for record in records)
        newest: dict[bytes | None, Record] = {}
        for offset in sorted(self.committed):
            if self.log_start <= offset < stable:
                newest[self.written[offset].key] = self.written[offset]
        table = {record.key: record.value for record in records}
        for key, record in newest.items():
            if record.value is not None or self.bench.clock.now_ms() - record.timestamp < RETENTION_MS:
                assert record.offset in offsets, (key, record)
            else:
                assert table.get(key) is None

    @invariant()
    def any_offset_is_read_on_from_the_next_record(self) -> None:
        if not hasattr(self, "bench"):
            return
        everything = self.bench.records()
        for offset in range(self.log_start, self.next_offset, 5):
            assert self.bench.records(offset) == [record for record in everything if record.offset >= offset]


CompactedLogMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
test_the_table_is_the_same_through_everything = CompactedLogMachine.TestCase
