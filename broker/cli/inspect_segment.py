"""`broker inspect segment`: a .log file, batch by batch."""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from broker.cli.offline import EXIT_DAMAGED, check_name
from broker.cli.output import JsonValue, print_json, print_line, print_table, time_text
from broker.cli.record_lines import ReadRecord, as_json, as_text
from broker.cli.refused import Refused
from broker.errors import BrokerError
from broker.records import BatchHeader, Compression, RecordBatch, TimestampType, parse_header, parse_marker
from broker.records.batch import check_batch
from broker.records.header import HEADER_SIZE, LOG_OVERHEAD

_ROWS_A_TABLE = 500


@dataclass(frozen=True, slots=True)
class ReadBatch:
    """A batch as it lies at byte *position*; *wrong* says why it is no whole, valid one."""

    position: int
    header: BatchHeader | None
    data: bytes
    wrong: str | None


def inspect_segment(parsed: Namespace) -> int:
    path: Path = parsed.file
    shows_records: bool = parsed.records
    check_name(path, ".log", ".log.deleted", ".log.cleaned", ".log.swap")
    damaged: str | None = None
    rows: list[dict[str, JsonValue]] = []
    batches = records = size = 0
    for batch in read_batches(path):
        row = _row(batch)
        if batch.wrong is not None:
            damaged = f"byte {batch.position}: {batch.wrong}"
        if batch.header is not None:
            batches += 1
            records += batch.header.record_count
            size = batch.position + batch.header.size
        contents, unreadable = _contents(batch) if shows_records else ([], None)
        damaged = damaged or unreadable
        if parsed.json:
            print_json({**row, "contents": [as_json(each) for each in contents]} if shows_records else row)
            continue
        if batch.header is not None:
            rows.append(row)
        if contents or len(rows) == _ROWS_A_TABLE:
            print_table(rows)
            rows.clear()
        for each in contents:
            print_line(f"  {as_text(each, 'full').partition(':')[2]}")
    if rows:
        print_table(rows)
    if not parsed.json:
        print_line(f"{path.name}: {batches} batches, {records} records, {size} bytes of {path.stat().st_size}")
        if damaged is not None:
            print_line(f"damaged at {damaged}")
    return 0 if damaged is None else EXIT_DAMAGED


def read_batches(path: Path) -> Iterator[ReadBatch]:
    """Batch by batch to the end, or to the first that is damaged, which comes last. Raises Refused."""
    try:
        with path.open("rb") as file:
            end = path.stat().st_size
            position = 0
            while position < end:
                batch = _read(file, position, end)
                yield batch
                if batch.wrong is not None or batch.header is None:
                    return
                position += batch.header.size
    except OSError as error:
        raise Refused(f"{path}: {error.strerror or error}") from error


def _read(file: BinaryIO, position: int, end: int) -> ReadBatch:
    left = end - position
    if left < HEADER_SIZE:
        return ReadBatch(position, None, b"", f"{left} bytes are left, a header takes {HEADER_SIZE}: a torn write")
    file.seek(position)
    head = file.read(HEADER_SIZE)
    header = parse_header(head)
    if header.size < HEADER_SIZE or header.size > left:
        said = f"a header that announces a batch of {LOG_OVERHEAD + header.batch_length} bytes, {left} are left"
        return ReadBatch(position, None, b"", f"{said}: a torn write or no header")
    data = head + file.read(header.size - HEADER_SIZE)
    try:
        check_batch(memoryview(data), header)
    except BrokerError as error:
        return ReadBatch(position, header, data, str(error).partition(": ")[2])
    return ReadBatch(position, header, data, None)


def _row(batch: ReadBatch) -> dict[str, JsonValue]:
    header = batch.header
    if header is None:
        return {"position": batch.position, "wrong": batch.wrong}
    flags = [
        name
        for name, is_set in (
            ("transactional", header.is_transactional),
            ("control", header.is_control),
            ("append-time", header.timestamp_type is TimestampType.LOG_APPEND_TIME),
        )
        if is_set
    ]
    return {
        "position": batch.position,
        "bytes": header.size,
        "first_offset": header.base_offset,
        "last_offset": header.last_offset,
        "records": header.record_count,
        "time": time_text(header.max_timestamp),
        "codec": _codec(header),
        "epoch": header.leader_epoch,
        "producer": header.producer_id if header.has_producer_id else None,
        "producer_epoch": header.producer_epoch if header.has_producer_id else None,
        "first_sequence": header.base_sequence if header.base_sequence >= 0 else None,
        "flags": flags,
        "crc": "right" if batch.wrong is None else batch.wrong,
    }


def _codec(header: BatchHeader) -> str:
    code = header.compression_code
    return Compression(code).name.lower() if code in Compression.__members__.values() else f"unknown ({code})"


def _contents(batch: ReadBatch) -> tuple[list[ReadRecord], str | None]:
    """The records, and why there are no more of them."""
    if batch.header is None or batch.wrong is not None:
        return [], None
    found: list[ReadRecord] = []
    try:
        for record in RecordBatch(batch.header, memoryview(batch.data)).records():
            key, value = record.key, record.value
            if batch.header.is_control:
                marker = parse_marker(record)
                key, value = b"marker", f"{marker.kind.name} by coordinator {marker.coordinator_epoch}".encode()
            found.append(ReadRecord(0, record.offset, record.timestamp, key, value, record.headers))
    except BrokerError as error:
        return found, f"byte {batch.position}, in the records: {error}"
    return found, None
