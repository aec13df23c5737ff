"""
`@handles(…, on_failure=retry_later("10s", "1m", "10m"))`: an event that has failed is tried again later, while the
others go on.
"""

import re
from dataclasses import dataclass
from typing import Final

from eventbus.errors import DefinitionError

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DELAY: Final = re.compile(r"([1-9][0-9]*)(ms|s|m|h|d)")


@dataclass(frozen=True, slots=True)
class Delay:
    """How long an event waits, as it was written: the delay topic has this name in it."""

    text: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The waits, one after the other; made by `retry_later`."""

    delays: tuple[Delay, ...]


def retry_later(*delays: str) -> RetryLater:
    """
    After the attempts in place, try an event once more after each of *delays* (`"500ms"`, `"10s"`, `"1m"`, `"2h"`,
    `"1d"`), then make it a dead letter. It waits in the topic `<service>.retry.<delay>`, and nothing waits for it: the
    order of its key is given up. Raises DefinitionError.

    Use it where an event means the same whenever it comes; otherwise park, which is the default.
    """
    if not delays:
        raise DefinitionError('retry_later(): give the delays, such as retry_later("10s", "1m", "10m")')
    return RetryLater(tuple(_delay(text) for text in delays))


def _delay(text: str) -> Delay:
    found = _DELAY.fullmatch(text)
    if found is None:
        raise DefinitionError(
            f"retry_later({text!r}): a delay is a whole number and a unit: 500ms, 10s, 1m, 2h or 1d, and not 0"
        )
    return Delay(text, int(found[1]) * _UNITS[found[2]])
