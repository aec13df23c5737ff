"""By when the two phases of a rebalance end: everybody joins, then everybody fetches what the leader has assigned."""

from collections.abc import Iterable

# Static members may ask for a rebalance timeout of 0; waiting for them again must not become a busy loop.
_SECOND_WAIT_S_MIN = 1.0


class RebalanceTimers:
    """
    Monotonic seconds.

    Joining   lasts until all have joined, or `deadline`. The first rebalance of an empty group waits in any case, for
              an initial delay, and that much longer as long as somebody comes, up to the deadline
    Syncing   lasts until nobody is missing, or its own deadline
    """

    __slots__ = (
        "_deadline",
        "_delay_extended",
        "_delay_limit",
        "_delay_s",
        "_delay_until",
        "_missing",
        "_sync_deadline",
    )

    def __init__(self, initial_delay_ms: int) -> None:
        self._delay_s = initial_delay_ms / 1000
        self._delay_until: float | None = None
        self._delay_limit = 0.0
        self._delay_extended = False
        self._deadline = 0.0
        self._missing: set[str] = set()
        self._sync_deadline = 0.0

    # joining

    def begin(self, now: float, timeout_s: float, *, first: bool) -> None:
        """A rebalance begins; *first*: the group was empty."""
        if first and self._delay_s > 0:
            self._delay_until = now + min(self._delay_s, timeout_s)
            self._delay_limit = now + timeout_s
            self._delay_extended = False
        self._missing.clear()
        self._deadline = now + timeout_s

    def begin_again(self, now: float, timeout_s: float) -> None:
        """Nobody has joined, and the group cannot do without."""
        self._deadline = now + max(timeout_s, _SECOND_WAIT_S_MIN)

    @property
    def is_delayed(self) -> bool:
        """Whether more members are waited for although all are there."""
        return self._delay_until is not None

    def somebody_came(self) -> None:
        self._delay_extended = self._delay_until is not None

    def joining_is_over(self, now: float) -> bool:
        if self._delay_until is None:
            return self._deadline <= now
        if self._delay_until > now:
            return False
        if self._delay_extended and self._delay_until < self._delay_limit:
            # Somebody came while we waited: perhaps there are more.
            self._delay_extended = False
            self._delay_until = min(self._delay_until + self._delay_s, self._delay_limit)
            return False
        self._delay_until = None
        return True

    def joining_until(self) -> float:
        return self._deadline if self._delay_until is None else self._delay_until

    # syncing

    def expect(self, member_ids: Iterable[str], now: float, timeout_s: float) -> None:
        """These have to fetch their assignments by then."""
        self._missing = set(member_ids)
        self._sync_deadline = now + timeout_s

    def synced(self, member_id: str) -> None:
        """It has, or is not in the group any more."""
        self._missing.discard(member_id)

    def renamed(self, old_id: str, new_id: str) -> None:
        if old_id in self._missing:
            self._missing.remove(old_id)
            self._missing.add(new_id)

    def syncing_until(self) -> float | None:
        return self._sync_deadline if self._missing else None

    def take_late(self, now: float) -> list[str]:
        """Those who have not fetched theirs in time; from then on nobody is waited for."""
        if not self._missing or self._sync_deadline > now:
            return []
        late = sorted(self._missing)
        self._missing.clear()
        return late
