"""Processes with lanes at work are killed at named points and at any moment: effects are there once, keys in order."""

import shutil
from pathlib import Path

import pytest

from tests.crash.cycles import cycles
from tests.crash.parking.processes import Parking, play, prepared
from tests.crash.parking.work import faults_of_lanes
from tests.crash.parking.worker import main_in_lanes

CYCLES = cycles(10)
CYCLES_ON_POSTGRESQL = cycles(3)

# The point, and how often a run passes it at most before it dies there.
CASES = {
    "in the middle of a lane": 110,
    "done ahead of the checkpoint": 6,
    "the checkpoint is moved, not committed": 2,
}


@pytest.fixture
def lanes(tmp_path: Path, sqlite_template: Path, seed: int) -> Parking:
    path = tmp_path / "shop.sqlite3"
    shutil.copyfile(sqlite_template, path)
    return prepared(tmp_path, f"sqlite:///{path}", seed, CASES, main_in_lanes, faults_of_lanes)


@pytest.fixture
def lanes_on_postgresql(tmp_path: Path, postgres_url: str, seed: int) -> Parking:
    return prepared(tmp_path, postgres_url, seed, CASES, main_in_lanes, faults_of_lanes)


@pytest.mark.parametrize("point", CASES)
def test_a_kill_with_lanes_at_work_loses_and_doubles_nothing(lanes: Parking, point: str) -> None:
    """On SQLite: everything before the checkpoint is done once, and of each key what is done are its first events."""
    play(lanes, point, CYCLES)


@pytest.mark.parametrize("point", ["in the middle of a lane", "done ahead of the checkpoint"])
def test_a_kill_with_lanes_at_work_on_postgresql(lanes_on_postgresql: Parking, point: str) -> None:
    """The same where lanes have transactions open at the same time."""
    play(lanes_on_postgresql, point, CYCLES_ON_POSTGRESQL)


def test_two_processes_with_lanes_that_take_the_partition_from_each_other_are_killed(
    lanes_on_postgresql: Parking,
) -> None:
    """At any moment: the lanes of the one that was fenced commit nothing more."""
    for _ in range(CYCLES_ON_POSTGRESQL):
        lanes_on_postgresql.killed_at_any_moment(processes=2)
        lanes_on_postgresql.assert_sound()
    lanes_on_postgresql.finished()
    lanes_on_postgresql.assert_sound()
