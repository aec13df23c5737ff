"""
The purgatory: operations that wait for something to happen, or for their time to be over.

An operation is parked under the keys that may satisfy it (partitions), with a deadline and an owner (the connection
that asked). It leaves exactly once: satisfied by a wake of one of its keys, expired, or detached with its owner, and in
that last case without a word: the peer is gone, and its descriptor number may already be somebody else's.

Cost    O(keys + log n) to park; one heap of deadlines for all, no timer per operation. What has left stays in the heap
        until its deadline is on top or the heap is mostly such entries.
Time    seconds of Clock.monotonic(), given by the caller. No event loop, no thread.
Source  Kafka's DelayedOperationPurgatory, without its locks and timing wheel.
"""

from collections.abc import Hashable, Iterable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Protocol


class DelayedOperation(Protocol):
    """What is parked."""

    def try_complete(self) -> bool:
        """Completes the operation if its condition holds now. Called on every wake of one of its keys, until True."""
        ...

    def expire(self) -> None:
        """Completes the operation with what there is: its time is over."""
        ...


class _Parked:
    __slots__ = ("deadline", "keys", "left", "operation", "owner")

    def __init__(
        self, operation: DelayedOperation, keys: tuple[Hashable, ...], deadline: float, owner: Hashable
    ) -> None:
        self.operation = operation
        self.keys = keys
        self.deadline = deadline
        self.owner = owner
        self.left = False


_HEAP_SLACK = 64


class Purgatory:
    """Parked operations, by key, by owner and by deadline."""

    __slots__ = ("_by_key", "_by_owner", "_heap", "_numbers", "_parked")

    def __init__(self) -> None:
        # Dictionaries as ordered sets: operations are woken in the order in which they were parked.
        self._by_key: dict[Hashable, dict[_Parked, None]] = {}
        self._by_owner: dict[Hashable, dict[_Parked, None]] = {}
        self._heap: list[tuple[float, int, _Parked]] = []
        self._numbers = count()
        self._parked = 0

    def __len__(self) -> int:
        return self._parked

    def park(
        self, operation: DelayedOperation, *, keys: Iterable[Hashable], deadline: float, owner: Hashable = None
    ) -> None:
        """
        Parks *operation* until a key is woken and it completes, or *deadline* (monotonic seconds) is reached. The
        caller has looked whether it can complete at once. Owner None belongs to nobody and is never detached.
        """
        parked = _Parked(operation, tuple(dict.fromkeys(keys)), deadline, owner)
        for key in parked.keys:
            self._by_key.setdefault(key, {})[parked] = None
        if owner is not None:
            self._by_owner.setdefault(owner, {})[parked] = None
        heappush(self._heap, (deadline, next(self._numbers), parked))
        self._parked += 1

    def wake(self, key: Hashable) -> int:
        """Lets every operation under *key* try to complete; how many did. What is parked meanwhile is not tried."""
        waiting = self._by_key.get(key)
        if not waiting:
            return 0
        completed = 0
        for parked in tuple(waiting):
            # An earlier one of this round may have closed the connection that owns this one.
            if not parked.left and parked.operation.try_complete():
                self._leave(parked)
                completed += 1
        return completed

    def detach(self, owner: Hashable) -> int:
        """Drops everything that is parked for *owner*, without completing it; how much that was."""
        dropped = tuple(self._by_owner.get(owner, ()))
        for parked in dropped:
            self._leave(parked)
        return len(dropped)

    def next_deadline(self) -> float | None:
        """When `expire` has something to do next, in monotonic seconds; None when nothing is parked."""
        while self._heap and self._heap[0][2].left:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def expire(self, now: float) -> int:
        """Expires everything with a deadline <= *now*, the earliest first; how much that was."""
        expired = 0
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            parked = heappop(self._heap)[2]
            self._leave(parked)
            parked.operation.expire()
            expired += 1
        return expired

    def expire_all(self) -> int:
        """Expires everything that is parked now, as before a clean stop; how much that was."""
        expired = 0
        for _, _, parked in sorted(self._heap, key=lambda entry: entry[:2]):
            if not parked.left:
                self._leave(parked)
                parked.operation.expire()
                expired += 1
        return expired

    def _leave(self, parked: _Parked) -> None:
        if parked.left:
            return
        parked.left = True
        self._parked -= 1
        for key in parked.keys:
            _discard(self._by_key, key, parked)
        if parked.owner is not None:
            _discard(self._by_owner, parked.owner, parked)
        if len(self._heap) > 2 * self._parked + _HEAP_SLACK:
            self._heap = [entry for entry in self._heap if not entry[2].left]
            heapify(self._heap)


def _discard(index: dict[Hashable, dict[_Parked, None]], key: Hashable, parked: _Parked) -> None:
    waiting = index.get(key)
    if waiting is None:
        return
    waiting.pop(parked, None)
    if not waiting:
        del index[key]
