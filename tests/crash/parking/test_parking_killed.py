"""Processes that park, drain and retry are killed at named points and at any moment: order and effects hold."""

import shutil
from pathlib import Path

import pytest

from tests.crash.cycles import cycles
from tests.crash.parking.processes import Parking, play, prepared

CYCLES = cycles(10)
CYCLES_ON_POSTGRESQL = cycles(3)

# The point, and how often a run passes it at most before it dies there.
CASES = {
    "given up, not committed": 4,
    "waiting, not committed": 3,
    "letter handled, not committed": 4,
    "failure of a letter noted, not committed": 2,
    "waiting events handled, not committed": 4,
    "key freed, not committed": 2,
}


@pytest.fixture
def parking(tmp_path: Path, sqlite_template: Path, seed: int) -> Parking:
    path = tmp_path / "shop.sqlite3"
    shutil.copyfile(sqlite_template, path)
    return prepared(tmp_path, f"sqlite:///{path}", seed, CASES)


@pytest.fixture
def parking_on_postgresql(tmp_path: Path, postgres_url: str, seed: int) -> Parking:
    return prepared(tmp_path, postgres_url, seed, CASES)


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
