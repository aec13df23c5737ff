"""
Compaction: rewrites the sealed segments of a log so that of every key only the newest record is left. Offsets stay.

    compaction = log.compaction_begin(…)        on the log's thread; None when nothing is due
    compaction.run()                            on any thread; never raises
    log.compaction_advance(compaction)          on the log's thread: True means run() it again

The first run() reads the dirty part into an OffsetMap. Every run() then cleans one group of segments into one new
segment, which the advance() behind it puts in their place: so a pass needs room for one segment more, and a crash costs
one group's work. Segments are grouped while they fit into segment.bytes together, or small ones would pile up.

Crash       new files are named .cleaned until they are whole and synced, .swap while they take the old ones' places;
            the next start throws the former away and finishes the latter. Segments that were merged into the one before
            them go only when the directory is synced; a start that finds one whose offsets the segment before it covers
            drops it (recovery.py)
Durable     only what was synced counts as the newest of its key: a loss of power cannot take the newer record of a key
            after compaction took the older
Source      Kafka's Cleaner, UnifiedLog.replaceSegments
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from broker.errors import BrokerError
from broker.records import RecordBatch, packed_records, parse_header
from broker.storage.cleaner import Cleaner, Kept, LastOfProducer
from broker.storage.config import LogConfig
from broker.storage.decided_transactions import DecidedTransactions
from broker.storage.dirt import Dirt
from broker.storage.files import FileSystem, opened
from broker.storage.names import CLEANED, SWAP, segment_paths
from broker.storage.offset_map import OffsetMap
from broker.storage.retention import DeletedSegment
from broker.storage.scan import scan_batches
from broker.storage.segment import Segment
from broker.storage.segments import Segments
from broker.storage.transaction_index import AbortedTransaction

_OFFSETS_MAX = 2**31 - 1


def _go_on() -> None:
    """For who has the processor to himself."""


class Source(NamedTuple):
    """A segment as it was when the pass began: its file, how much of it counts, and where the next one starts."""

    segment: Segment
    path: Path
    size: int
    end: int


class CompactionReport(NamedTuple):
    """A pass: up to which offset the log is clean now, its bytes before and after, and the records that went."""

    clean_offset: int
    bytes_before: int
    bytes_after: int
    records_dropped: int


class Compaction:
    """One pass over a log. Made by PartitionLog.compaction_begin(); `error` says why it failed."""

    def __init__(
        self,
        directory: Path,
        files: FileSystem,
        sources: Sequence[Source],
        dirt: Dirt,
        *,
        aborted: Sequence[AbortedTransaction],
        producers: Mapping[int, LastOfProducer],
        config: LogConfig,
        now_ms: int,
        map_bytes_max: int,
    ) -> None:
        self.error: BrokerError | OSError | None = None
        self.is_done = False
        """Whether the pass came to its end, rather than to nothing."""
        self.clean_offset = dirt.end
        self.cleaned: tuple[Sequence[Source], Segment] | None = None
        """The group that run() has cleaned, and what has to take its place."""
        self.names_changed = False
        """Whether the directory has to be synced before the replaced segments may go."""
        self.doomed: list[DeletedSegment] = []
        """Files that are out of the log, for run() to remove."""
        self._directory = directory
        self._files = files
        self._sources = sources
        self._dirt = dirt
        self._aborted = aborted
        self._producers = producers
        self._config = config
        self._now_ms = now_ms
        self._map_bytes_max = map_bytes_max
        self._pause: Callable[[], None] = _go_on
        self._groups: list[list[Source]] | None = None
        self._cleaner: Cleaner | None = None
        self._bytes_before = 0
        self._bytes_after = 0

    @property
    def has_nothing_left(self) -> bool:
        """Whether run() has nothing to do any more: everything is cleaned, in its place and durable."""
        return (
            self._groups is not None
            and not self._groups
            and self.cleaned is None
            and not self.names_changed
            and not self.doomed
        )

    def report(self) -> CompactionReport:
        """What the pass has done so far."""
        dropped = 0 if self._cleaner is None else self._cleaner.records_dropped
        return CompactionReport(self.clean_offset, self._bytes_before, self._bytes_after, dropped)

    def run(self, pause: Callable[[], None] = _go_on) -> None:
        """
        Syncs what advance() has renamed, then cleans the next group. Calls *pause* for every record, so that a worker
        can let others run. Never raises: advance() does.
        """
        self._pause = pause
        try:
            if self.names_changed:
                self._files.sync_directory(self._directory)
                self.names_changed = False
            for deleted in self.doomed:
                deleted.remove()
            self.doomed = []
            if self._groups is None or self._cleaner is None:
                self._cleaner = self._read_dirty_part()
                self._groups = list(self._grouped())
            if self._groups:
                group = self._groups.pop(0)
                segment, has_changed = self._clean(group, self._cleaner)
                self.cleaned = (group, segment)
                if not has_changed and len(group) == 1:
                    self.throw_away()
        except (BrokerError, OSError) as error:
            self.error = error

    def throw_away(self) -> None:
        """Removes what was cleaned and has not taken its place. Raises OSError; the next start removes the rest."""
        if self.cleaned is None:
            return
        base_offset = self.cleaned[1].base_offset
        self.cleaned = None
        for suffix in (CLEANED, SWAP):
            for path in segment_paths(self._directory, base_offset, suffix):
                self._files.remove(path)

    def _read_dirty_part(self) -> Cleaner:
        """Fills the map from the dirty part, or from as much of it as fits."""
        newest = OffsetMap(self._map_bytes_max)
        transactions = DecidedTransactions(self._aborted)
        for source in self._sources:
            if source.end > self._dirt.start and not self._note_keys(source, newest, transactions):
                break
        return Cleaner(
            newest,
            self.clean_offset,
            self._aborted,
            self._producers,
            now_ms=self._now_ms,
            delete_retention_ms=self._config.delete_retention_ms,
        )

    def _note_keys(self, source: Source, newest: OffsetMap, transactions: DecidedTransactions) -> bool:
        with opened(self._files, source.path) as file:
            for batch in scan_batches(file, source.path, source.size):
                header = batch.header
                if header.last_offset < self._dirt.start or header.is_control or transactions.drops(header):
                    continue
                for record in packed_records(batch):
                    self._pause()
                    if record.key is None or record.offset < self._dirt.start:
                        continue
                    if not newest.put(record.key, record.offset):
                        self.clean_offset = record.offset
                        return False
        return True

    def _grouped(self) -> Iterator[list[Source]]:
        group: list[Source] = []
        size = 0
        for source in self._sources:
            if source.segment.base_offset >= self.clean_offset:
                break
            too_far = group and source.end - group[0].segment.base_offset > _OFFSETS_MAX
            if group and (too_far or size + source.size > self._config.segment_bytes):
                yield group
                group, size = [], 0
            group.append(source)
            size += source.size
        if group:
            yield group

    def _clean(self, group: Sequence[Source], cleaner: Cleaner) -> tuple[Segment, bool]:
        """One synced segment of what stays of *group*, and whether that is less, or other, than what was there."""
        first = group[0].segment
        interval = self._config.index_interval_bytes
        target = Segment.create(self._directory, first.base_offset, self._files, interval, suffix=CLEANED)
        try:
            last: RecordBatch | None = None
            has_changed = False
            for source in group:
                self._bytes_before += source.size
                with opened(self._files, source.path) as file:
                    for batch in scan_batches(file, source.path, source.size):
                        last = batch
                        kept = cleaner.clean(batch, self._pause)
                        if kept is not None:
                            _append(target, kept)
                        has_changed = has_changed or kept is None or kept.data is not batch.data
            if last is not None and not target.size:
                # A segment without a batch would not say which offsets it stands for.
                kept = cleaner.keep_place(last)
                _append(target, kept)
                has_changed = has_changed and first.size != target.size
            self._bytes_after += target.size
            target.seal(sync=True)
            target.file().sync()
            return target, has_changed
        except (BrokerError, OSError):
            # For throw_away().
            self.cleaned = (group, target)
            raise
        finally:
            target.rest()


def sources_of(segments: Segments, end: int) -> list[Source]:
    """The segments of a log below offset *end*."""
    return [
        Source(segment, segment.path, segment.size, segments.end_of(segment, end))
        for segment in segments
        if segment is not segments.active and segments.end_of(segment, end) <= end
    ]


def _append(target: Segment, kept: Kept) -> None:
    header = parse_header(memoryview(kept.data))
    target.append(kept.data, header.last_offset, header.max_timestamp)
    if kept.aborted is not None:
        target.transactions().append(kept.aborted)
