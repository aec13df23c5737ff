"""A point in time on both hands of the clock."""

from typing import NamedTuple


class Moment(NamedTuple):
    """`now` in monotonic seconds, for what is waited for; `wall_ms` only for what is stored."""

    now: float
    wall_ms: int
