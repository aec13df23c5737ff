"""Processes that deliver, one after the other or several at a time, and how they end."""

import asyncio
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from eventbus.database import Database
from tests.crash.driver import forks
from tests.crash.kill_points import KillPlan
from tests.crash.parking.work import World, effects, read_world

EVENTS_A_CYCLE: Final = 120
EVENTS_AT_ANY_MOMENT: Final = 400
DIES_SECONDS_MAX: Final = 30.0

Target = Callable[[str, int, Path, KillPlan | None], None]
Check = Callable[[World], list[str]]


class Parking:
    """
    One database, a log that grows, and the processes that work on it.

    target    what the processes run
    check     what the checker says of the database afterwards
    """

    def __init__(self, directory: Path, url: str, seed: int, target: Target, check: Check) -> None:
        self.directory, self.url = directory, url
        self._target, self._check = target, check
        self.random = random.Random(seed)
        self.end = 0

    @property
    def words(self) -> str:
        path = self.directory / "words.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-40:]) if path.exists() else ""

    def process(self, plan: KillPlan | None) -> BaseProcess:
        process = forks.Process(
            target=self._target, args=(self.url, self.end, self.directory / "words.log", plan), daemon=True
        )
        process.start()
        return process

    def killed_at(self, point: str, occurrence_max: int) -> None:
        """One process, with new events, dies there; a run passes it so often at most before."""
        self.end += EVENTS_A_CYCLE
        log = self.directory / "kills.log"
        plan = KillPlan(point, self.random.randint(1, occurrence_max), log)
        before = log.read_text().count("\n") if log.exists() else 0
        process = self.process(plan)
        process.join(DIES_SECONDS_MAX)
        assert process.exitcode == -signal.SIGKILL, f"{plan}: exit code {process.exitcode}\n{self.words}"
        assert log.read_text().splitlines()[before:] == [f"{plan} pid {process.pid}"]

    def killed_at_any_moment(self, *, processes: int) -> None:
        """So many share the work, and all die within a quarter of a second."""
        self.end += EVENTS_AT_ANY_MOMENT
        running = [self.process(None) for _ in range(processes)]
        for process in running:
            time.sleep(self.random.uniform(0.05, 0.25) / processes)
            assert process.is_alive(), f"it was done too soon\n{self.words}"
            process.kill()
        for process in running:
            process.join(5)

    def finished(self) -> None:
        """
        A process without a plan brings everything to its end. What kills have left is the more the more cycles there
        were: so it may take as long as it goes on.
        """
        process = self.process(None)
        done, deadline = -1, 0.0
        while process.is_alive():
            process.join(1.0)
            if (now_done := self.done()) != done:
                done, deadline = now_done, time.monotonic() + DIES_SECONDS_MAX
            assert time.monotonic() < deadline, f"nothing more is done after {done} of {self.end} events\n{self.words}"
        assert process.exitcode == 0, f"exit code {process.exitcode}\n{self.words}"

    def assert_sound(self) -> None:
        found = self._check(asyncio.run(self._world()))
        assert not found, "\n".join([*found, self.words])

    def done(self) -> int:
        """How many events have taken effect."""
        return len(asyncio.run(self._world()).effects)

    async def _world(self) -> World:
        database = Database.from_url(self.url)
        world = await read_world(database)
        await database.aclose()
        return world


async def make_tables(url: str) -> None:
    """Those of the handlers."""
    database = Database.from_url(url)
    async with database.transaction() as connection:
        await connection.run_sync(effects.metadata.create_all)
    await database.aclose()


def play(parking: Parking, point: str, occurrence_max: int, cycles: int) -> None:
    for _ in range(cycles):
        parking.killed_at(point, occurrence_max)
        parking.assert_sound()
    parking.finished()
    parking.assert_sound()
