"""The compactions of one log: one at a time, each abandoned when the log is shortened under it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from broker.storage.cleaner import last_of_producers
from broker.storage.compaction import Compaction, sources_of
from broker.storage.config import LogConfig
from broker.storage.dirt import Dirt, find_dirt
from broker.storage.files import FileSystem
from broker.storage.names import PRODUCER_SNAPSHOT, SWAP, offset_name
from broker.storage.producer_state import ProducerState
from broker.storage.retention import DeletedSegment, rename_deleted
from broker.storage.segment import Segment
from broker.storage.segments import Segments
from broker.storage.transaction_index import AbortedTransaction


class Compactions:
    """On the log's thread, but for Compaction.run()."""

    def __init__(self, directory: Path, segments: Segments, files: FileSystem, clean_offset: int) -> None:
        self.clean_offset = clean_offset
        """Everything below has been compacted."""
        self._directory = directory
        self._segments = segments
        self._files = files
        self._running: Compaction | None = None
        self._is_abandoned = False
        self._replaced: list[Segment] = []

    def dirt(self, config: LogConfig, *, now_ms: int, end_max: int) -> Dirt:
        """What there is to compact below *end_max*. Raises StorageError, OSError."""
        return find_dirt(self._segments, config, now_ms=now_ms, clean_offset=self.clean_offset, end_max=end_max)

    def begin(
        self,
        config: LogConfig,
        *,
        now_ms: int,
        end_max: int,
        aborted_in: Callable[[int, int], Sequence[AbortedTransaction]],
        producers: Sequence[ProducerState],
        map_bytes_max: int,
    ) -> Compaction | None:
        """A pass over the dirt below *end_max*; None when it is not due, or one runs. Raises StorageError, OSError."""
        if self._running is not None:
            return None
        dirt = self.dirt(config, now_ms=now_ms, end_max=end_max)
        if not dirt.is_due:
            return None
        self.settle()
        self._running = Compaction(
            self._directory,
            self._files,
            sources_of(self._segments, dirt.end),
            dirt,
            aborted=aborted_in(self._segments.first.base_offset, dirt.end),
            producers=last_of_producers(producers),
            config=config,
            now_ms=now_ms,
            map_bytes_max=map_bytes_max,
        )
        return self._running

    def advance(self, compaction: Compaction) -> bool:
        """
        Puts what run() has cleaned in its place; False when the pass is over, done or not.

        Raises the pass's error, and OSError; the log is as it was before the group that failed.
        """
        if self._is_abandoned or compaction.error is not None:
            self._end(compaction)
            if compaction.error is not None:
                raise compaction.error
            return False
        if not compaction.names_changed:
            compaction.doomed += self._remove_replaced()
            compaction.names_changed = bool(compaction.doomed)
        if compaction.cleaned is not None:
            group = [source.segment for source in compaction.cleaned[0]]
            segment = compaction.cleaned[1]
            if not self._segments.have(group):
                # Retention was faster.
                self._end(compaction)
                return False
            try:
                self._put_in_place(group, segment)
            except OSError:
                self._end(compaction)
                raise
            compaction.cleaned = None
            compaction.names_changed = True
        if compaction.has_nothing_left:
            compaction.is_done = True
            self.clean_offset = compaction.clean_offset
            self._end(compaction)
            return False
        return True

    def abandon(self, next_offset: int) -> None:
        """The log ends at *next_offset* now, or is closed: the pass that runs comes to nothing."""
        self._is_abandoned = self._running is not None
        self.clean_offset = min(self.clean_offset, next_offset)

    def settle(self) -> None:
        """Removes the segments that were replaced when the names of what replaced them are safe. Raises OSError."""
        if not self._replaced:
            return
        self._files.sync_directory(self._directory)
        for deleted in self._remove_replaced():
            deleted.remove()
        self._files.sync_directory(self._directory)

    def _end(self, compaction: Compaction) -> None:
        self._running = None
        self._is_abandoned = False
        compaction.throw_away()

    def _put_in_place(self, group: Sequence[Segment], segment: Segment) -> None:
        segment.rename(SWAP)
        try:
            # Over the first segment of the group. From here on the next start finds this one, and drops the others.
            segment.rename("")
        except OSError:
            if segment.path != group[0].path:
                raise
            # It has taken its place without its indexes. The next start makes them again, and so do we.
            segment.rebuild_indexes()
        self._segments.replace(group, segment)
        self._replaced += group[1:]

    def _remove_replaced(self) -> list[DeletedSegment]:
        deleted: list[DeletedSegment] = []
        while self._replaced:
            segment = self._replaced[-1]
            snapshot = self._directory / offset_name(segment.base_offset, PRODUCER_SNAPSHOT)
            deleted.append(rename_deleted(segment, self._files, snapshot))
            self._replaced.pop()
        return deleted
