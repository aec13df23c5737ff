"""A log against a model: whatever is done to it, in whatever order, it has what was written, once, in order."""

import shutil
import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.records import Compression, iterate_batches
from broker.storage.errors import OffsetOutOfRange, OutOfOrderSequence, StorageError
from tests.broker.storage.bench import LogBench

PRODUCER = 77


class LogMachine(RuleBasedStateMachine):
    """
    The model is a list of batches: (offset of the first record, values). `flushed` is the offset that a loss of power
    must leave; `sequence` the next one of an idempotent producer, None when a crash has taken its batches.
    """

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp())
        self.batches: list[tuple[int, list[bytes]]] = []
        self.next_offset = 0
        self.log_start = 0
        self.flushed = 0
        self.count = 0
        self.sequence: int | None = 0

    @initialize(
        segment_bytes=st.sampled_from([300, 1000, 5000]),
        index_interval_bytes=st.sampled_from([1, 200, 4096]),
        flush_before_ack=st.booleans(),
    )
    def open(self, **config: int) -> None:
        self.bench = LogBench(self.path, retention_ms=1000, **config)

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.bench.log.close(clean=False)
        shutil.rmtree(self.path)

    # ---- what happens to it

    def values(self, count: int) -> list[bytes]:
        self.count += 1
        return [b"%d/%d." % (self.count, n) * 3 for n in range(count)]

    def wrote(self, values: list[bytes]) -> None:
        self.batches.append((self.next_offset, values))
        self.next_offset += len(values)
        self.bench.clock.advance_ms(10)

    @rule(
        count=st.integers(1, 5),
        compression=st.sampled_from([Compression.NONE, Compression.GZIP]),
        epoch_step=st.booleans(),
    )
    def append(self, count: int, compression: Compression, *, epoch_step: bool) -> None:
        values = self.values(count)
        epoch = max(self.bench.log.leader_epoch, 0) + epoch_step
        appended = self.bench.append(*values, compression=compression, leader_epoch=epoch)
        assert (appended.base_offset, appended.duplicate) == (self.next_offset, False)
        self.wrote(values)

    @precondition(lambda self: self.sequence is not None)
    @rule(count=st.integers(1, 3))
    def append_idempotently_twice(self, count: int) -> None:
        assert self.sequence is not None
        values = self.values(count)
        fields = {"producer_id": PRODUCER, "producer_epoch": 0, "base_sequence": self.sequence}
        first = self.bench.append(*values, **fields)
        assert (first.base_offset, first.duplicate) == (self.next_offset, False)
        second = self.bench.append(*values, **fields)
        assert (second.base_offset, second.duplicate) == (self.next_offset, True)
        with pytest.raises(OutOfOrderSequence):
            self.bench.append(*values, **{**fields, "base_sequence": self.sequence + count + 1})
        self.sequence += count
        self.wrote(values)

    @rule(room=st.integers(0, 150))
    def append_on_a_full_disk(self, room: int) -> None:
        self.bench.files.room = room
        with pytest.raises(StorageError):
            self.bench.append(b"lost" * 50)
        self.bench.files.room = None

    @rule()
    def roll(self) -> None:
        self.bench.log.roll()

    @rule()
    def flush(self) -> None:
        self.bench.log.flush()
        self.flushed = self.next_offset

    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(self.log_start, self.next_offset))
        self.bench.log.truncate_to(offset)
        self.cut_model(self.bench.log.next_offset)
        # A batch goes as a whole.
        assert self.next_offset <= offset
        assert offset - self.next_offset < 5
        self.flushed = min(self.flushed, self.next_offset)

    @rule(data=st.data())
    def delete_records(self, data: st.DataObject) -> None:
        before = data.draw(st.integers(0, self.bench.log.high_watermark))
        self.log_start = max(self.log_start, before)
        assert self.bench.log.delete_records(before) == self.log_start

    @rule(milliseconds=st.sampled_from([0, 500, 2000]))
    def retain(self, milliseconds: int) -> None:
        self.bench.clock.advance_ms(milliseconds)
        for deleted in self.bench.log.apply_retention():
            deleted.remove()
        assert self.bench.log.log_start_offset >= self.log_start
        self.log_start = self.bench.log.log_start_offset

    # ---- how it ends and begins

    @rule()
    def restart(self) -> None:
        self.bench.restart()
        self.flushed = self.next_offset

    @rule()
    def kill(self) -> None:
        self.bench.kill()

    @rule(garbage=st.binary(min_size=1, max_size=100))
    def kill_in_a_write(self, garbage: bytes) -> None:
        active = self.bench.directory / self.bench.file_names(".log")[-1]
        with active.open("ab") as file:
            file.write(garbage)
        self.bench.kill()

    @rule(seed=st.none() | st.integers(0, 1000))
    def lose_power(self, seed: int | None) -> None:
        recovery_point = self.bench.log.recovery_point
        seen = self.bench.log.high_watermark if self.bench.config.flush_before_ack else 0
        self.bench.log.close(clean=False)
        self.bench.files.power_loss(self.bench.directory, None if seed is None else Random(seed))
        log = self.bench.open(clean=False, recovery_point=recovery_point, log_start_offset=self.log_start)
        assert log.next_offset >= max(self.flushed, seen)
        self.log_start = log.log_start_offset
        # Of what was not synced any batches may be missing, and with them the producer's; nothing else changes.
        kept = {batch.header.base_offset for batch in log.batches(self.log_start)}
        synced = max(self.flushed, seen)
        assert all(base in kept for base, values in self.batches if self.log_start < base + len(values) <= synced)
        if len(kept) < len(self.batches):
            self.sequence = None
        self.batches = [(base, values) for base, values in self.batches if base in kept]
        self.next_offset = log.next_offset

    def cut_model(self, next_offset: int) -> None:
        if next_offset == self.next_offset:
            return
        self.batches = [(base, values) for base, values in self.batches if base + len(values) <= next_offset]
        self.next_offset = next_offset
        self.sequence = None

    # ---- what always holds

    @invariant()
    def it_has_what_the_model_has(self) -> None:
        if not hasattr(self, "bench"):
            return
        log = self.bench.log
        assert (log.log_start_offset, log.next_offset) == (self.log_start, self.next_offset)
        assert log.log_start_offset <= log.last_stable_offset <= log.high_watermark <= log.next_offset
        if not self.bench.config.flush_before_ack:
            assert log.high_watermark == log.next_offset
        expected = [
            (base + n, value)
            for base, values in self.batches
            for n, value in enumerate(values)
            if self.log_start <= base + n < log.high_watermark
        ]
        assert [(record.offset, record.value) for record in self.bench.records()] == expected

    @invariant()
    def any_offset_gives_whole_batches_from_its_own_on(self) -> None:
        if not hasattr(self, "bench"):
            return
        log = self.bench.log
        with pytest.raises(OffsetOutOfRange):
            log.read(self.next_offset + 1, 1)
        for offset in range(self.log_start, log.high_watermark, 3):
            expected = next((base for base, values in self.batches if base + len(values) > offset), None)
            headers = [batch.header for batch in iterate_batches(self.bench.read_bytes(offset, 300))]
            assert (headers[0].base_offset if headers else None) == expected


LogMachine.TestCase.settings = settings(
    max_examples=1500,
    report_multiple_bugs=False,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
test_the_log_agrees_with_its_model_through_everything = LogMachine.TestCase
