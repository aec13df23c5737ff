"""Processes that park, drain and retry are killed at named points and at any moment: order and effects hold."""

import pytest

from tests.crash.cycles import cycles
from tests.crash.parking.processes import Parking, play

CYCLES = cycles(10)

# The database, the point, and how often a run passes it at most before it dies there.
CASES = [
    ("sqlite", "given up, not committed", 4),
    ("sqlite", "waiting, not committed", 3),
    ("sqlite", "letter handled, not committed", 4),
    ("sqlite", "failure of a letter noted, not committed", 2),
    ("sqlite", "waiting events handled, not committed", 4),
    ("sqlite", "key freed, not committed", 2),
    # Here a killed process' transaction is the server's to roll back.
    ("postgresql", "given up, not committed", 4),
    ("postgresql", "waiting events handled, not committed", 4),
]


@pytest.mark.parametrize(("database_url", "point", "occurrence_max"), CASES, indirect=["database_url"])
def test_a_kill_there_loses_and_doubles_nothing_and_lets_nothing_pass(
    parking: Parking, point: str, occurrence_max: int
) -> None:
    """After every kill a key's effects are its first events, and the rest is where it belongs."""
    play(parking, point, occurrence_max, CYCLES)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_two_processes_that_take_the_partition_from_each_other_are_killed(parking: Parking) -> None:
    """At any moment: the one that was fenced still drains, beside the owner."""
    for _ in range(CYCLES):
        parking.killed_at_any_moment(processes=2)
        parking.assert_sound()
    parking.finished()
    parking.assert_sound()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_kill_at_any_moment(parking: Parking) -> None:
    """Wherever the process is just then."""
    for _ in range(CYCLES):
        parking.killed_at_any_moment(processes=1)
        parking.assert_sound()
    parking.finished()
    parking.assert_sound()
