"""Processes with lanes at work are killed at named points and at any moment: effects are there once, keys in order."""

import pytest

from tests.crash.cycles import cycles
from tests.crash.parking.processes import Parking, play

CYCLES = cycles(10)

# The database, the point, and how often a run passes it at most before it dies there.
CASES = [
    ("sqlite", "in the middle of a lane", 110),
    ("sqlite", "done ahead of the checkpoint", 6),
    ("sqlite", "the checkpoint is moved, not committed", 2),
    # Here lanes have transactions open at the same time.
    ("postgresql", "in the middle of a lane", 110),
    ("postgresql", "done ahead of the checkpoint", 6),
]


@pytest.mark.parametrize(("database_url", "point", "occurrence_max"), CASES, indirect=["database_url"])
def test_a_kill_with_lanes_at_work_loses_and_doubles_nothing(lanes: Parking, point: str, occurrence_max: int) -> None:
    """Everything before the checkpoint is done once, and of each key what is done are its first events."""
    play(lanes, point, occurrence_max, CYCLES)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_two_processes_with_lanes_that_take_the_partition_from_each_other_are_killed(lanes: Parking) -> None:
    """At any moment: the lanes of the one that was fenced commit nothing more."""
    for _ in range(CYCLES):
        lanes.killed_at_any_moment(processes=2)
        lanes.assert_sound()
    lanes.finished()
    lanes.assert_sound()
