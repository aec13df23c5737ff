"""
Opens what a stop or a crash has left in a partition's directory.

    1  files on their way out (.deleted, .tmp, .cleaned) and indexes without a .log file are removed; what compaction
       had ready (.swap) takes its place, and after a crash the segments go that were merged into the one before them
    2  after a crash every segment that reaches behind the recovery point is read byte by byte and cut at the first byte
       that is not part of a whole, valid batch; segments behind a cut go: they would follow on a hole. A segment that
       ends early without a cut is left alone, because compaction makes such ones
    3  after a clean stop nothing is read but the end of the last segment
    4  the leader epochs and the producers' state are brought up to the end, by headers, from the newest sound
       snapshot on; it has to stand before the first segment that was read again, whose index of aborted transactions is
       made on the way
Source      Kafka's LogLoader
"""

from pathlib import Path
from typing import NamedTuple

from broker.records import CorruptBatch, MarkerKind, RecordBatch, parse_marker
from broker.records.header import BatchHeader
from broker.storage.config import LogConfig
from broker.storage.errors import StorageError
from broker.storage.files import FileSystem, read_whole
from broker.storage.leader_epochs import LeaderEpochs
from broker.storage.names import (
    CLEANED,
    DELETED,
    LOG,
    OFFSET_INDEX,
    PRODUCER_SNAPSHOT,
    SWAP,
    TIME_INDEX,
    TRANSACTION_INDEX,
    UNFINISHED,
    offset_in,
    offset_name,
    segment_paths,
)
from broker.storage.producer_snapshot import UnsoundSnapshot, parse_snapshot
from broker.storage.producer_state import Producers
from broker.storage.progress import OpeningProgress
from broker.storage.segment import Segment
from broker.storage.segments import Segments
from broker.storage.transaction_index import ENTRY_SIZE as TRANSACTION_ENTRY_SIZE
from broker.storage.transaction_index import AbortedTransaction


class RecoveryReport(NamedTuple):
    """What opening a log had to do: read batches and bytes with their CRC, cut bytes, drop segments behind a cut."""

    batches: int = 0
    bytes_read: int = 0
    bytes_cut: int = 0
    segments_dropped: int = 0


class LoadedLog(NamedTuple):
    """A partition's directory, sound."""

    segments: Segments
    epochs: LeaderEpochs
    producers: Producers
    next_offset: int
    report: RecoveryReport


def load_log(
    directory: Path,
    files: FileSystem,
    config: LogConfig,
    *,
    now_ms: int,
    clean: bool,
    recovery_point: int,
    log_start_offset: int,
    progress: OpeningProgress,
) -> LoadedLog:
    """The log in *directory*, which is made when it is missing. Raises OSError, StorageError."""
    files.make_directory(directory)
    names = _remove_leftovers(directory, files)
    base_offsets = sorted(offset for name in names if (offset := offset_in(name, LOG)) is not None)
    interval = config.index_interval_bytes
    if base_offsets:
        loaded = [Segment.load(directory, base_offset, files, interval) for base_offset in base_offsets]
        if config.compacts and not clean:
            loaded = _without_merged(loaded, files)
        loaded, next_offset, report = _make_sound(
            loaded, files, clean=clean, recovery_point=recovery_point, progress=progress
        )
        _check_transaction_indexes(loaded, names, files, next_offset)
    else:
        loaded = [Segment.create(directory, log_start_offset, files, interval)]
        next_offset, report = log_start_offset, RecoveryReport()
    if next_offset < log_start_offset:
        # All that was left lies below the log start: a tail was lost that had been kept back from readers already.
        for segment in loaded:
            _drop(segment, files)
        loaded = [Segment.create(directory, log_start_offset, files, interval)]
        next_offset = log_start_offset
    segments = Segments(loaded)
    epochs = LeaderEpochs(directory, files)
    epochs.truncate_from_end(next_offset)
    producers = replay(directory, files, segments, epochs, next_offset, now_ms=now_ms, clean=clean)
    return LoadedLog(segments, epochs, producers, next_offset, report)


def replay(
    directory: Path,
    files: FileSystem,
    segments: Segments,
    epochs: LeaderEpochs,
    next_offset: int,
    *,
    now_ms: int,
    clean: bool,
) -> Producers:
    """
    The producers' state at *next_offset*, from the newest sound snapshot and the headers behind it.

    On the way the leader epochs learn what they do not know, and segments that were read again get their index of
    aborted transactions. Snapshots from behind the end are removed.
    """
    producers = Producers()
    start = segments.first.base_offset
    again = next((segment.base_offset for segment in segments if segment.reads_markers_again), next_offset)
    for offset in sorted(snapshot_offsets(directory, files), reverse=True):
        path = directory / offset_name(offset, PRODUCER_SNAPSHOT)
        if offset > next_offset:
            files.remove(path)
            continue
        if offset > again:
            continue
        try:
            producers = Producers(parse_snapshot(read_whole(files, path), now_ms))
        except UnsoundSnapshot:
            files.remove(path)
            continue
        start = offset
        break
    _remove_passed_snapshots(directory, files, segments, start)
    first_epoch_unknown = not clean or not epochs.sound
    new_names = False
    for segment in segments:
        learns_producers = segments.end_of(segment, next_offset) > start
        if not segment.size or not (learns_producers or not epochs.sound):
            continue
        for position, header in segment.headers():
            if first_epoch_unknown:
                epochs.assign(header.leader_epoch, header.base_offset)
            if header.has_producer_id and header.base_offset >= start:
                _apply_header(producers, segment, position, header, now_ms)
        if segment.reads_markers_again:
            # Synced, because the recovery point may lie behind the markers: no flush would do it later.
            segment.transactions().save(sync=True)
            new_names = new_names or len(segment.transactions()) > 0
            segment.reads_markers_again = False
    if new_names:
        files.sync_directory(directory)
    return producers


def completed_abort(producers: Producers, producer_id: int, start: int, marker_offset: int) -> AbortedTransaction:
    """The index entry of a transaction that *producers* has just been told the end of."""
    stable = producers.first_open_offset()
    return AbortedTransaction(producer_id, start, marker_offset, marker_offset + 1 if stable is None else stable)


def _apply_header(producers: Producers, segment: Segment, position: int, header: BatchHeader, now_ms: int) -> None:
    """Brings *producers* up to a stored batch. Raises StorageError for a control batch that is none."""
    if not header.is_control:
        producers.stored(header, header.base_offset, now_ms)
        return
    batch = RecordBatch(header, memoryview(segment.file().read_at(position, header.size)))
    if not header.record_count:
        # Kafka's compaction leaves such ones: the transaction is gone, the producer's epoch is not.
        producers.ended(header, header.base_offset, -1, now_ms)
        return
    try:
        marker = parse_marker(next(batch.records()))
    except (CorruptBatch, StopIteration) as error:
        raise StorageError(segment.path, f"no marker at byte {position}: {error}") from error
    start = producers.ended(header, header.base_offset, marker.coordinator_epoch, now_ms)
    if start is not None and marker.kind is MarkerKind.ABORT and segment.reads_markers_again:
        segment.transactions().append(completed_abort(producers, header.producer_id, start, header.base_offset))


def snapshot_offsets(directory: Path, files: FileSystem) -> list[int]:
    """The offsets that have a snapshot, ascending."""
    offsets = (offset_in(name, PRODUCER_SNAPSHOT) for name in files.names(directory))
    return sorted(offset for offset in offsets if offset is not None)


def _remove_passed_snapshots(directory: Path, files: FileSystem, segments: Segments, newest: int) -> None:
    # Each close leaves one; only those at a segment's start are needed once a newer one is there, for truncations.
    keep = {newest, *(segment.base_offset for segment in segments)}
    for offset in snapshot_offsets(directory, files):
        if offset not in keep:
            files.remove(directory / offset_name(offset, PRODUCER_SNAPSHOT))


def _remove_leftovers(directory: Path, files: FileSystem) -> list[str]:
    _finish_swaps(directory, files)
    names = files.names(directory)
    logs = {offset for name in names if (offset := offset_in(name, LOG)) is not None}
    for name in names:
        indexed = next(
            (
                offset
                for suffix in (OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX)
                if (offset := offset_in(name, suffix)) is not None
            ),
            None,
        )
        orphan = indexed is not None and indexed not in logs
        if orphan or name.endswith((DELETED, UNFINISHED, CLEANED)):
            files.remove(directory / name)
    return names


def _finish_swaps(directory: Path, files: FileSystem) -> None:
    """A .swap file is whole and synced. Which index belongs to which .log is not sure, so they are made again."""
    names = files.names(directory)
    for name in names:
        if not name.endswith(SWAP):
            continue
        kind = next(
            kind for kind in (LOG, OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX, "") if name.endswith(kind + SWAP)
        )
        offset = offset_in(name, kind + SWAP)
        if offset is None:
            continue
        log, offset_index, time_index, transaction_index = segment_paths(directory, offset)
        files.remove(offset_index)
        files.remove(time_index)
        if kind == LOG:
            files.rename(directory / name, log)
        elif kind == TRANSACTION_INDEX:
            # Right for both: it has every abort whose records either .log still has.
            files.rename(directory / name, transaction_index)
        else:
            files.remove(directory / name)
    if any(name.endswith(SWAP) for name in names):
        files.sync_directory(directory)


def _without_merged(segments: list[Segment], files: FileSystem) -> list[Segment]:
    """Drops the segments that compaction merged into the one before them, when a crash has left them there."""
    kept = segments[:1]
    for segment in segments[1:]:
        if _end_of(kept[-1]) > segment.base_offset:
            _drop(segment, files)
        else:
            kept.append(segment)
    return kept


def _end_of(segment: Segment) -> int:
    """The offset behind the last batch; the base offset where the end is torn, which no compaction leaves."""
    try:
        try:
            return segment.resume()
        except (CorruptBatch, StorageError):
            # Perhaps only the index is wrong: of the .log file that was replaced.
            segment.rebuild_indexes()
            return segment.resume()
    except (CorruptBatch, StorageError):
        return segment.base_offset
    finally:
        segment.rest()


def _make_sound(
    segments: list[Segment], files: FileSystem, *, clean: bool, recovery_point: int, progress: OpeningProgress
) -> tuple[list[Segment], int, RecoveryReport]:
    report = RecoveryReport()
    next_offset = segments[0].base_offset
    if not clean:
        ends = (segment.base_offset for segment in segments[1:])
        trusted = sum(segment.size for segment, end in zip(segments, ends, strict=False) if end <= recovery_point)
        progress.begin(segments[0].directory, sum(segment.size for segment in segments) - trusted)
    for slot, segment in enumerate(segments):
        is_last = slot == len(segments) - 1
        end = None if is_last else segments[slot + 1].base_offset
        if clean and is_last:
            try:
                return segments, segment.resume(), report
            except (CorruptBatch, StorageError):
                # The mark promised more than the disk kept.
                pass
        elif end is not None and (clean or end <= recovery_point):
            _save_missing_indexes(segment, files)
            next_offset = end
            continue
        found = segment.recover(progress.read)
        next_offset = found.next_offset
        report = RecoveryReport(
            report.batches + found.batches, report.bytes_read + found.bytes_read, report.bytes_cut + found.bytes_cut
        )
        if is_last:
            break
        if found.bytes_cut:
            for behind in segments[slot + 1 :]:
                _drop(behind, files)
            dropped = len(segments) - slot - 1
            return (
                segments[: slot + 1],
                next_offset,
                RecoveryReport(report.batches, report.bytes_read, report.bytes_cut, dropped),
            )
        segment.seal()
        segment.rest()
    return segments, next_offset, report


def _save_missing_indexes(segment: Segment, files: FileSystem) -> None:
    for path, entry_size in ((segment.offset_index_path, 8), (segment.time_index_path, 12)):
        try:
            if files.size(path) % entry_size == 0:
                continue
        except FileNotFoundError:
            pass
        segment.rebuild_indexes()
        segment.seal()
        segment.rest()
        return


def _check_transaction_indexes(segments: list[Segment], names: list[str], files: FileSystem, next_offset: int) -> None:
    """Those that cannot be right are made again; the last may still have what a truncation has cut."""
    for segment in segments:
        path = segment.transaction_index_path
        if path.name in names and not segment.reads_markers_again and files.size(path) % TRANSACTION_ENTRY_SIZE:
            segment.forget_transactions()
    segments[-1].transactions().truncate(next_offset)


def _drop(segment: Segment, files: FileSystem) -> None:
    segment.rest()
    for path in (
        segment.offset_index_path,
        segment.time_index_path,
        segment.transaction_index_path,
        segment.path,
    ):
        files.remove(path)
    # Or a loss of power brings it back beside what has been written with its offsets since.
    files.sync_directory(segment.directory)
