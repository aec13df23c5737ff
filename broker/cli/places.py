"""
Where in a log: as people write it.

    beginning, end      the log's ends
    42                  an offset
    -10                 that many before the end, of each partition
    15m, 2h, 3d         so long ago; also s
    2026-03-01T08:30Z   a time, ISO 8601; without a zone it is UTC
"""

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_FORMS = "beginning, end, an offset, -N for the last N, a time as 2026-03-01T08:30Z, or 15m, 2h, 3d for so long ago"


class UnreadablePlace(ValueError):
    """The text says what was expected."""


@dataclass(frozen=True, slots=True)
class Beginning:
    pass


@dataclass(frozen=True, slots=True)
class End:
    pass


@dataclass(frozen=True, slots=True)
class AtOffset:
    offset: int


@dataclass(frozen=True, slots=True)
class BeforeEnd:
    count: int


@dataclass(frozen=True, slots=True)
class AtTime:
    timestamp_ms: int


Place = Beginning | End | AtOffset | BeforeEnd | AtTime


def parse_place(text: str) -> Place:
    """The place that *text* names. Raises UnreadablePlace."""
    if text == "beginning":
        return Beginning()
    if text == "end":
        return End()
    if re.fullmatch(r"-?\d{1,19}", text):
        number = int(text)
        return AtOffset(number) if number >= 0 and not text.startswith("-") else BeforeEnd(-number)
    try:
        return AtTime(parse_time(text))
    except UnreadablePlace as error:
        raise UnreadablePlace(f"{text!r} is no place in a log: expected {_FORMS}") from error


def parse_time(text: str) -> int:
    """Milliseconds since 1970 of an ISO 8601 time, or of so long ago (15m). Raises UnreadablePlace."""
    ago = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if ago is not None:
        return int((time.time() - int(ago[1]) * _UNITS_S[ago[2]]) * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UnreadablePlace(
            f"{text!r} is no time: expected ISO 8601, as 2026-03-01T08:30Z, or 15m, 2h, 3d for so long ago"
        ) from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
