"""`broker inspect index`: an index file, each entry checked against the .log file that it belongs to."""

from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from struct import Struct

from broker.cli.inspect_segment import read_batches
from broker.cli.offline import EXIT_DAMAGED, read_file
from broker.cli.output import JsonValue, print_line, print_rows, time_text
from broker.cli.refused import Refused
from broker.errors import BrokerError
from broker.records import BatchHeader, MarkerKind, RecordBatch, parse_marker
from broker.storage.names import OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX, offset_in

_OFFSET_ENTRY = Struct(">II")
_TIME_ENTRY = Struct(">qI")
_TRANSACTION_ENTRY = Struct(">hqqqq")

Row = dict[str, JsonValue]


def inspect_index(parsed: Namespace) -> int:
    path: Path = parsed.file
    kind = next((each for each in (TIME_INDEX, TRANSACTION_INDEX, OFFSET_INDEX) if path.name.endswith(each)), None)
    content = read_file(path, OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX)
    base = None if kind is None else offset_in(path.name, kind)
    if kind is None or base is None:
        raise Refused(f"{path}: the name of an index is 20 digits and {OFFSET_INDEX}")
    entry = {OFFSET_INDEX: _OFFSET_ENTRY, TIME_INDEX: _TIME_ENTRY, TRANSACTION_INDEX: _TRANSACTION_ENTRY}[kind]
    whole = len(content) - len(content) % entry.size
    segment = _Segment(path.with_name(path.name.removesuffix(kind) + ".log"))
    entries = entry.iter_unpack(content[:whole])
    if kind == OFFSET_INDEX:
        rows = list(_offset_rows(entries, base, segment))
    elif kind == TIME_INDEX:
        rows = list(_time_rows(entries, base, segment))
    else:
        rows = list(_transaction_rows(entries, segment))
    wrong = sum(row["check"] != "right" for row in rows)
    print_rows(rows, as_json=parsed.json, empty=f"{path.name} has no entries.")
    if not parsed.json:
        print_line(f"{path.name}: {len(rows)} entries, {wrong} of them wrong")
        if whole != len(content):
            print_line(f"damaged: {len(content)} bytes, an entry takes {entry.size}")
        if segment.wrong is not None:
            print_line(f"{segment.path.name} is damaged at {segment.wrong}")
    return EXIT_DAMAGED if wrong or whole != len(content) else 0


class _Segment:
    """What the .log file says: its batches by position, by last offset, and its abort markers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.by_position: dict[int, BatchHeader] = {}
        self.by_last_offset: dict[int, BatchHeader] = {}
        self.aborts: dict[int, int] = {}
        """The producer of each abort marker, by its offset."""
        self.wrong: str | None = None
        for batch in read_batches(path):
            if batch.header is None or batch.wrong is not None:
                self.wrong = f"byte {batch.position}: {batch.wrong}"
                continue
            header = batch.header
            self.by_position[batch.position] = header
            self.by_last_offset[header.last_offset] = header
            if header.is_control and header.record_count and _is_abort(header, batch.data):
                self.aborts[header.base_offset] = header.producer_id


def _is_abort(header: BatchHeader, data: bytes) -> bool:
    try:
        marker = next(RecordBatch(header, memoryview(data)).records())
        return parse_marker(marker).kind is MarkerKind.ABORT
    except (BrokerError, StopIteration):
        return False


def _offset_rows(entries: Iterator[tuple[int, ...]], base: int, segment: _Segment) -> Iterator[Row]:
    last = (-1, -1)
    for relative, position in entries:
        offset = base + relative
        header = segment.by_position.get(position)
        if (offset, position) <= last or position <= last[1]:
            check = "out of order"
        elif header is None:
            check = "no batch starts there"
        elif header.last_offset != offset:
            check = f"the batch there ends at offset {header.last_offset}"
        else:
            check = "right"
        last = (offset, position)
        yield {"last_offset": offset, "position": position, "check": check}


def _time_rows(entries: Iterator[tuple[int, ...]], base: int, segment: _Segment) -> Iterator[Row]:
    last = (-1, -1)
    for timestamp, relative in entries:
        offset = base + relative
        header = segment.by_last_offset.get(offset)
        if timestamp <= last[0] or offset < last[1]:
            check = "out of order"
        elif header is None:
            check = "no batch ends at that offset"
        elif header.max_timestamp != timestamp:
            check = f"the batch there has {header.max_timestamp}"
        else:
            check = "right"
        last = (timestamp, offset)
        yield {"timestamp": timestamp, "time": time_text(timestamp), "last_offset": offset, "check": check}


def _transaction_rows(entries: Iterator[tuple[int, ...]], segment: _Segment) -> Iterator[Row]:
    last = -1
    aborts: Mapping[int, int] = segment.aborts
    for version, producer, first, end, stable in entries:
        if version != 0:
            check = f"version {version}, 0 is known"
        elif end <= last or first > end:
            check = "out of order"
        elif aborts.get(end) != producer:
            check = "no abort marker of that producer is there"
        else:
            check = "right"
        last = end
        yield {
            "producer": producer,
            "first_offset": first,
            "marker_offset": end,
            "last_stable_offset": stable,
            "check": check,
        }
