"""When each group wants to be looked at next: one heap for all of them."""

from heapq import heappop, heappush


class Alarms:
    """
    At most one valid alarm a group, never later than the group's own next deadline, but perhaps earlier.

    A heartbeat moves a session's end further away; nothing is done about it here until the old alarm goes off, finds
    nothing due and is set anew. So heartbeats cost nothing.
    """

    __slots__ = ("_at", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._at: dict[str, float] = {}

    def set(self, group_id: str, deadline: float | None) -> None:
        """Makes sure that *group_id* is due at *deadline* at the latest; None asks for nothing."""
        if deadline is not None and deadline < self._at.get(group_id, float("inf")):
            self._at[group_id] = deadline
            heappush(self._heap, (deadline, group_id))

    def next(self) -> float | None:
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[str]:
        """The groups whose alarms have gone off, and takes those alarms away."""
        due: list[str] = []
        while (deadline := self.next()) is not None and deadline <= now:
            group_id = heappop(self._heap)[1]
            del self._at[group_id]
            due.append(group_id)
        return due
