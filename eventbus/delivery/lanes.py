"""
Which records of a partition are worked on side by side, and how far everything is finished: decisions, no I/O.

A lane       works on its records one after the other. Records of one key are in one lane from the first that is
             unfinished to the last, so a key's order holds; when none is left, the key may go to another lane
Width        a record goes to one of the first *width* lanes, the one with the least to do: what may be handled
             `concurrency=4` wide is never in more than four lanes, what is to be handled one after the other is in the
             first. A key that is at work in a lane behind that has to be finished first: `add` says so
Frontier     the lowest unfinished offset. Everything before it is finished, much behind it may be: the checkpoint goes
             there and no further
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

W = TypeVar("W")


@dataclass(slots=True)
class _Record(Generic[W]):
    offset: int
    key: bytes | None
    work: W
    is_finished: bool = False


@dataclass(slots=True)
class _Key:
    lane: int
    unfinished: int = 0


class Lanes(Generic[W]):
    """
    The lanes of one partition, from *next_offset* on.

    count        how many lanes there are
    unfinished   records that were added and not finished
    held         records that were added and are not behind the frontier: what the caller has to bound
    """

    def __init__(self, count: int, next_offset: int) -> None:
        self.count = count
        self.unfinished = 0
        self._position = next_offset
        self._records: deque[_Record[W]] = deque()
        self._waiting: list[deque[_Record[W]]] = [deque() for _ in range(count)]
        self._taken: list[deque[_Record[W]]] = [deque() for _ in range(count)]
        self._keys: dict[bytes, _Key] = {}

    @property
    def held(self) -> int:
        return len(self._records)

    @property
    def frontier(self) -> int:
        """The lowest unfinished offset; with nothing unfinished, the position behind everything."""
        return self._records[0].offset if self._records else self._position

    def add(self, offset: int, key: bytes | None, width: int, work: W) -> bool:
        """
        Gives the record, the next one by its offset, to a lane. False, and nothing is changed, when its key is at work
        in a lane that it may not go to: to be tried again when something is finished.
        """
        held = None if key is None else self._keys.get(key)
        if held is not None and held.lane >= width:
            return False
        lane = held.lane if held is not None else self._least_busy(width)
        if key is not None:
            if held is None:
                held = self._keys[key] = _Key(lane)
            held.unfinished += 1
        record = _Record(offset, key, work)
        self._records.append(record)
        self._waiting[lane].append(record)
        self.unfinished += 1
        self._position = offset + 1
        return True

    def pass_to(self, position: int) -> None:
        """Between the last record and *position* there is nothing to work on."""
        self._position = max(self._position, position)

    def ready(self) -> list[int]:
        """The lanes that have something to do and do nothing."""
        return [lane for lane in range(self.count) if self._waiting[lane] and not self._taken[lane]]

    def take(self, lane: int, records_max: int) -> Sequence[W]:
        """What the lane is to do next, in order; it has nothing in hand."""
        waiting, taken = self._waiting[lane], self._taken[lane]
        while waiting and len(taken) < records_max:
            taken.append(waiting.popleft())
        return [record.work for record in taken]

    def finish(self, lane: int, below: int) -> None:
        """What the lane has in hand below that offset is done, and that is committed."""
        taken = self._taken[lane]
        while taken and taken[0].offset < below:
            record = taken.popleft()
            record.is_finished = True
            self.unfinished -= 1
            if record.key is not None:
                key = self._keys[record.key]
                key.unfinished -= 1
                if not key.unfinished:
                    del self._keys[record.key]
        while self._records and self._records[0].is_finished:
            self._records.popleft()

    def _least_busy(self, width: int) -> int:
        return min(range(min(width, self.count)), key=lambda lane: len(self._waiting[lane]) + len(self._taken[lane]))
