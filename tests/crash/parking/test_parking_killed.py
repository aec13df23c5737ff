"""Processes that park, drain and retry are killed at named points and at any moment: order and effects hold."""

import asyncio
import multiprocessing
import random
import shutil
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from eventbus.database import Database
from tests.crash.cycles import cycles
from tests.crash.kill_points import KillPlan
from tests.crash.parking.work import effects, faults, read_world
from tests.crash.parking.worker import main

EVENTS_A_CYCLE = 120
EVENTS_AT_ANY_MOMENT = 400
CYCLES = cycles(10)
CYCLES_ON_POSTGRESQL = cycles(3)
DIES_SECONDS_MAX = 30.0

# The point, and how often a run passes it at most before it dies there.
CASES = {
    "given up, not committed": 4,
    "waiting, not committed": 3,
    "letter handled, not committed": 4,
    "failure of a letter noted, not committed": 2,
    "waiting events handled, not committed": 4,
    "key freed, not committed": 2,
}

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["pytest", "tests.crash.parking.worker"])


class Parking:
    """One database, a log that grows, and the processes that work on it."""

    def __init__(self, directory: Path, url: str, seed: int) -> None:
        self.directory, self.url = directory, url
        self.random = random.Random(seed)
        self.end = 0

    @property
    def words(self) -> str:
        path = self.directory / "words.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-40:]) if path.exists() else ""

    def process(self, plan: KillPlan | None) -> BaseProcess:
        process = _forks.Process(
            target=main, args=(self.url, self.end, self.directory / "words.log", plan), daemon=True
        )
        process.start()
        return process

    def killed_at(self, point: str) -> None:
        """One process, with new events, dies there."""
        self.end += EVENTS_A_CYCLE
        log = self.directory / "kills.log"
        plan = KillPlan(point, self.random.randint(1, CASES[point]), log)
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
        """A process without a plan brings everything to its end."""
        process = self.process(None)
        process.join(2 * DIES_SECONDS_MAX)
        assert process.exitcode == 0, f"exit code {process.exitcode}\n{self.words}"

    def assert_sound(self) -> None:
        found = asyncio.run(self._faults())
        assert not found, "\n".join([*found, self.words])

    async def _faults(self) -> list[str]:
        database = Database.from_url(self.url)
        world = await read_world(database)
        await database.aclose()
        return faults(world)


def prepared(directory: Path, url: str, seed: int) -> Parking:
    async def make() -> None:
        database = Database.from_url(url)
        async with database.transaction() as connection:
            await connection.run_sync(effects.metadata.create_all)
        await database.aclose()

    asyncio.run(make())
    return Parking(directory, url, seed)


@pytest.fixture
def parking(tmp_path: Path, sqlite_template: Path, seed: int) -> Parking:
    path = tmp_path / "shop.sqlite3"
    shutil.copyfile(sqlite_template, path)
    return prepared(tmp_path, f"sqlite:///{path}", seed)


@pytest.fixture
def parking_on_postgresql(tmp_path: Path, postgres_url: str, seed: int) -> Parking:
    return prepared(tmp_path, postgres_url, seed)


def play(parking: Parking, point: str, cycles: int) -> None:
    for _ in range(cycles):
        parking.killed_at(point)
        parking.assert_sound()
    parking.finished()
    parking.assert_sound()


@pytest.mark.parametrize("point", CASES)
def test_a_kill_there_loses_and_doubles_nothing_and_lets_nothing_pass(parking: Parking, point: str) -> None:
    """On SQLite: after every kill a key's effects are its first events, and the rest is where it belongs."""
    play(parking, point, CYCLES)


@pytest.mark.parametrize("point", ["given up, not committed", "waiting events handled, not committed"])
def test_a_kill_there_on_postgresql(parking_on_postgresql: Parking, point: str) -> None:
    """The same where a killed process' transaction is the server's to roll back."""
    play(parking_on_postgresql, point, CYCLES_ON_POSTGRESQL)


def test_two_processes_that_take_the_partition_from_each_other_are_killed(parking_on_postgresql: Parking) -> None:
    """At any moment: the one that was fenced still drains, beside the owner."""
    for _ in range(CYCLES_ON_POSTGRESQL):
        parking_on_postgresql.killed_at_any_moment(processes=2)
        parking_on_postgresql.assert_sound()
    parking_on_postgresql.finished()
    parking_on_postgresql.assert_sound()


def test_a_kill_at_any_moment(parking: Parking) -> None:
    """Wherever the process is just then."""
    for _ in range(CYCLES):
        parking.killed_at_any_moment(processes=1)
        parking.assert_sound()
    parking.finished()
    parking.assert_sound()
