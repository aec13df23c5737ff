"""
Runs cases one after the other, and within a case the contestants in turns.

The order of the contestants is reversed every turn: what one leaves in the machine's caches is not always the same
other's. The first turns are warm-up and not counted (a cold JVM is two to three times slower). Nothing that a
contestant does ends the run: it is disqualified (Unsound) or failed (anything else, a hang included), and the others
go on.
"""

import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.case import Case, Contestant, Mode, Unsound
from benchmarks.record import Ran, told
from benchmarks.room import Room


@dataclass(frozen=True, slots=True)
class Plan:
    """
    repetitions   None: as many as each case says
    seconds_max   cases that would begin later than this are left out, and told as such
    """

    mode: Mode
    repetitions: int | None = None
    warm_up: int | None = None
    seconds_max: float | None = None


class TooLong(Exception):
    """A turn has not ended in its time."""


def run_cases(
    cases: Sequence[Case], plan: Plan, room: Room, say: Callable[[str], None], keep: Callable[[dict[str, object]], None]
) -> None:
    """Each case's part of the results is handed to *keep* as soon as it is there."""
    begun = time.monotonic()
    for number, case in enumerate(cases, start=1):
        passed = time.monotonic() - begun
        if plan.seconds_max is not None and passed > plan.seconds_max:
            say(f"left out for want of time ({passed:.0f} s): {', '.join(each.name for each in cases[number - 1 :])}")
            return
        left = f", about {passed / (number - 1) * (len(cases) - number + 1) / 60:.0f} min left" if number > 1 else ""
        say(f"[{number}/{len(cases)}] {case.name}: {case.title} ({passed / 60:.1f} min so far{left})")
        keep(run_case(case, plan, room, say))


def run_case(case: Case, plan: Plan, room: Room, say: Callable[[str], None]) -> dict[str, object]:
    """One case's part of the results."""
    begun = time.monotonic()
    ran: list[Ran] = []
    try:
        with case.open(room) as contestants:
            ran = [Ran(each.name) for each in contestants]
            _take_turns(case, plan, list(zip(contestants, ran, strict=True)), say)
    except Exception as error:
        say(f"  {case.name} ended: {type(error).__name__}: {error}")
        ran = ran or [Ran(case.ours)]
        for each in ran:
            each.failed = each.failed or f"the case ended: {traceback.format_exc(limit=4)}"
    found = told(case, ran, time.monotonic() - begun)
    for line in lines_of(found):
        say(line)
    return found


def _take_turns(case: Case, plan: Plan, pairs: list[tuple[Contestant, Ran]], say: Callable[[str], None]) -> None:
    warm_up = case.warm_up if plan.warm_up is None else plan.warm_up
    repetitions = case.repetitions if plan.repetitions is None else plan.repetitions
    for turn in range(warm_up + repetitions):
        for contestant, ran in pairs if turn % 2 == 0 else reversed(pairs):
            if ran.disqualified or ran.failed:
                continue
            try:
                with _within(case.seconds_max):
                    figures = contestant.run()
            except Unsound as unsound:
                ran.disqualified = str(unsound)
                say(f"  {ran.name} is disqualified: {unsound}")
            except Exception as error:
                ran.failed = f"{type(error).__name__}: {error}"
                say(f"  {ran.name} failed: {ran.failed}")
            else:
                if turn >= warm_up:
                    ran.repetitions.append(dict(figures))
    for contestant, ran in pairs:
        try:
            contestant.close()
        except Exception as error:
            say(f"  {ran.name} did not close: {error}")


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raises TooLong in the main thread: what hangs there is interrupted."""

    def ring(_number: int, _frame: object) -> None:
        raise TooLong(f"a turn took more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def lines_of(found: dict[str, object]) -> Iterator[str]:
    """A case's results for the eye."""
    from benchmarks.report import case_lines

    return case_lines(found)
