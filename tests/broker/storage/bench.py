"""A partition log on a real directory, opened and filled in a line."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from broker.clock import ManualClock
from broker.records import Compression, NewRecord, Record, build_batch, parse_header
from broker.records.header import write_header
from broker.storage import Appended, AppendOrigin, LogConfig, PartitionLog
from tests.broker.storage.faulty_files import FaultyFileSystem

NOW = 1_700_000_000_000


class LogBench:
    """Opens the log in *path* again and again: after a clean close, after a kill, after a loss of power."""

    def __init__(self, path: Path, files: FaultyFileSystem | None = None, **config: Any) -> None:
        self.directory = path / "orders-0"
        self.clock = ManualClock(NOW)
        self.files = FaultyFileSystem() if files is None else files
        self.config = LogConfig(**config)
        self.log = self.open(clean=True)

    def open(self, *, clean: bool, recovery_point: int = 0, log_start_offset: int = 0) -> PartitionLog:
        self.log = PartitionLog.open(
            self.directory,
            files=self.files,
            clock=self.clock,
            config=self.config,
            clean=clean,
            recovery_point=recovery_point,
            log_start_offset=log_start_offset,
        )
        return self.log

    def restart(self) -> PartitionLog:
        """A clean stop and a start."""
        start, recovery_point = self.log.log_start_offset, self.log.recovery_point
        self.log.close(clean=True)
        return self.open(clean=True, recovery_point=recovery_point, log_start_offset=start)

    def kill(self, recovery_point: int | None = None) -> PartitionLog:
        """A SIGKILL and a start: every write is in the files, nothing was saved on the way out."""
        start = self.log.log_start_offset
        known = self.log.recovery_point if recovery_point is None else recovery_point
        self.log.close(clean=False)
        return self.open(clean=False, recovery_point=known, log_start_offset=start)

    def configure(self, **config: Any) -> None:
        self.config = replace(self.config, **config)
        self.log.config = self.config

    def append(
        self,
        *values: bytes,
        key: bytes | None = b"key",
        timestamp: int | None = None,
        leader_epoch: int = 0,
        compression: Compression = Compression.NONE,
        **batch: Any,
    ) -> Appended:
        now = self.clock.now_ms() if timestamp is None else timestamp
        records = [NewRecord(key, value) for value in values or (b"value",)]
        data = build_batch(records, timestamp=now, compression=compression, **batch)
        return self.log.append(memoryview(data), leader_epoch=leader_epoch)

    def append_batch(self, data: bytearray, origin: AppendOrigin = AppendOrigin.CLIENT) -> Appended:
        return self.log.append(memoryview(data), leader_epoch=0, origin=origin)

    def read_bytes(self, offset: int, max_bytes: int = 1 << 20, **options: Any) -> bytes:
        place = self.log.read(offset, max_bytes, **options)
        if place is None:
            return b""
        try:
            return place.read()
        finally:
            place.release()

    def records(self, offset: int | None = None) -> list[Record]:
        start = self.log.log_start_offset if offset is None else offset
        return [record for batch in self.log.batches(start) for record in batch.records() if record.offset >= start]

    def values(self, offset: int | None = None) -> list[bytes | None]:
        return [record.value for record in self.records(offset)]

    def file_names(self, suffix: str) -> Sequence[str]:
        return sorted(path.name for path in self.directory.iterdir() if path.name.endswith(suffix))


def resealed(batch: bytearray, **fields: int) -> bytearray:
    """*batch* with other header fields and a CRC that is right for them."""
    write_header(batch, parse_header(batch)._replace(**fields))
    return batch
