"""When each open transaction has had its time."""

from heapq import heapify, heappop, heappush

_STALE_MIN = 1_000


class Deadlines:
    """Id → monotonic seconds; the earliest is found without looking at all."""

    __slots__ = ("_by_id", "_heap")

    def __init__(self) -> None:
        self._by_id: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def set(self, transactional_id: str, deadline: float) -> None:
        self._by_id[transactional_id] = deadline
        heappush(self._heap, (deadline, transactional_id))
        if len(self._heap) > 2 * len(self._by_id) + _STALE_MIN:
            # Most transactions end long before their time and leave an entry behind.
            self._heap = [(at, each) for each, at in self._by_id.items()]
            heapify(self._heap)

    def clear(self, transactional_id: str) -> None:
        self._by_id.pop(transactional_id, None)

    def next(self) -> float | None:
        """The earliest deadline."""
        heap = self._heap
        while heap and self._by_id.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now: float) -> list[str]:
        """Takes out the ids whose deadline has come."""
        found: list[str] = []
        while (deadline := self.next()) is not None and deadline <= now:
            _, transactional_id = heappop(self._heap)
            del self._by_id[transactional_id]
            found.append(transactional_id)
        return found
