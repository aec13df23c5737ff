"""
Which leader epoch wrote from which offset on; consumers and followers ask it whether what they read still stands.

File        leader-epoch-checkpoint (checkpoints.py): a row per epoch, epoch and start offset, both ascending
Durability  written before the first batch of an epoch; rebuilt from the batches' headers when unsound
Source      Kafka's LeaderEpochFileCache, KIP-101, KIP-279
"""

from bisect import bisect_right
from pathlib import Path
from typing import NamedTuple

from broker.storage.checkpoints import UnsoundCheckpoint, read_rows, write_rows
from broker.storage.files import FileSystem
from broker.storage.names import LEADER_EPOCHS

UNKNOWN_EPOCH = -1
UNKNOWN_OFFSET = -1


class EpochEndOffset(NamedTuple):
    """The greatest known epoch at or below the asked one, and the offset behind its last record."""

    leader_epoch: int
    end_offset: int


class LeaderEpochs:
    """The epochs of one partition."""

    __slots__ = ("_epochs", "_files", "_path", "_starts", "sound")

    def __init__(self, directory: Path, files: FileSystem) -> None:
        self._path = directory / LEADER_EPOCHS
        self._files = files
        self._epochs: list[int] = []
        self._starts: list[int] = []
        self.sound = True
        """False when the file could not be read: assign() every batch again."""
        try:
            for epoch, start_offset in read_rows(files, self._path, columns=2):
                self._epochs.append(int(epoch))
                self._starts.append(int(start_offset))
        except (UnsoundCheckpoint, ValueError):
            self.sound = False
        if self._epochs != sorted(set(self._epochs)) or self._starts != sorted(self._starts):
            self.sound = False
        if not self.sound:
            self._epochs, self._starts = [], []

    @property
    def latest(self) -> int:
        """The epoch of the last batch; -1 when there is none."""
        return self._epochs[-1] if self._epochs else UNKNOWN_EPOCH

    def assign(self, leader_epoch: int, start_offset: int) -> None:
        """Notes a new epoch, when it is above the latest. Raises OSError, with nothing changed."""
        if leader_epoch <= self.latest:
            return
        # A start that nothing was written at belongs to nobody.
        keep = len(self._starts)
        while keep and self._starts[keep - 1] >= start_offset:
            keep -= 1
        self._replace([*self._epochs[:keep], leader_epoch], [*self._starts[:keep], start_offset])

    def at(self, offset: int) -> int:
        """The epoch that wrote *offset*; -1 when it is not known."""
        slot = bisect_right(self._starts, offset) - 1
        return UNKNOWN_EPOCH if slot < 0 else self._epochs[slot]

    def end_offset(self, leader_epoch: int, next_offset: int) -> EpochEndOffset:
        """Where *leader_epoch* ended, in a log that ends at *next_offset*; (-1, -1) for an epoch above the latest."""
        if leader_epoch < 0 or leader_epoch > self.latest:
            return EpochEndOffset(UNKNOWN_EPOCH, UNKNOWN_OFFSET)
        if leader_epoch == self.latest:
            return EpochEndOffset(leader_epoch, next_offset)
        slot = bisect_right(self._epochs, leader_epoch)
        if slot == 0:
            return EpochEndOffset(leader_epoch, self._starts[0])
        return EpochEndOffset(self._epochs[slot - 1], self._starts[slot])

    def truncate_from_end(self, end_offset: int) -> None:
        """Forgets the epochs that start at *end_offset* or behind it. Raises OSError."""
        keep = len(self._starts)
        while keep and self._starts[keep - 1] >= end_offset:
            keep -= 1
        if keep < len(self._starts):
            self._replace(self._epochs[:keep], self._starts[:keep])

    def truncate_from_start(self, start_offset: int) -> None:
        """
        Forgets what lies before *start_offset*; the epoch that holds it now starts there. The file learns of it with
        the next epoch: one that still claims what is gone does no harm, and this is asked for on the loop's thread.
        """
        slot = bisect_right(self._starts, start_offset) - 1
        if slot < 0 or (slot == 0 and self._starts[0] == start_offset):
            return
        self._epochs, self._starts = self._epochs[slot:], [start_offset, *self._starts[slot + 1 :]]

    def _replace(self, epochs: list[int], starts: list[int]) -> None:
        write_rows(self._files, self._path, zip(epochs, starts, strict=True))
        self._epochs, self._starts = epochs, starts
