"""
`broker serve` for the tests: with a wall clock that jumps, or broken on purpose.

python -m tests.crash.log.server [--break FAULT] [--clock-seed N] -- the arguments of `broker serve`
"""

import random
import sys
import time

from broker.cli.command import main
from broker.server import broker as composition
from tests.crash.log.faults import FAULTS

JUMP_MS_MAX = 360_000
JUMPS_EVERY_S = 0.4


class JumpingClock:
    """The wall clock is off by up to six minutes, by others every 0.4 s; the monotonic one goes on as it should."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._off_ms = 0
        self._next = 0.0

    def now_ms(self) -> int:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + JUMPS_EVERY_S
            self._off_ms = self._random.randint(-JUMP_MS_MAX, JUMP_MS_MAX)
        return time.time_ns() // 1_000_000 + self._off_ms

    def monotonic(self) -> float:
        return time.monotonic()


def run(arguments: list[str]) -> int:
    own, serve = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    options = dict(zip(own[::2], own[1::2], strict=True))
    if "--clock-seed" in options:
        clock = JumpingClock(int(options["--clock-seed"]))
        # The composition root takes its clock from here.
        setattr(composition, "SystemClock", lambda: clock)  # noqa: B010 (a name that the module imported)
    if "--break" in options:
        FAULTS[options["--break"]].plant()
    return main(serve)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
