"""
The teeth of the service's checker: delivery commits before the effect, in the process under test, and is killed there.

The same play without the break is that of `test_service_killed`.
"""

import pytest

from tests.crash.driver import Crash

DEPOSITS = 30  # the first that no handler can take is number 39

# What is committed first, where the process dies, how often it passes that place at most, and what is missed then.
CASES = [
    ("committing before handlers", "in the middle of a batch of handlers", DEPOSITS, "there 0 times, expected 1"),
    ("committing before rows", "in the middle of a projection batch", 1, "the summary of account"),
]


@pytest.mark.parametrize(("broken", "point", "occurrence_max", "fault"), CASES)
def test_a_commit_before_the_effect_is_found(
    crash: Crash, broken: str, point: str, occurrence_max: int, fault: str
) -> None:
    """Killed in between, the effect is lost, also when a sound process has gone on; nobody killed, nothing is."""
    with crash.service(breaks=[broken]) as unharmed:
        unharmed.send(crash.new_commands(DEPOSITS // 2))
        unharmed.await_receipts()
        crash.assert_sound_at_rest()
        unharmed.stop()
    plan = crash.plan(point, crash.random.randint(1, occurrence_max // 2 or 1))
    with crash.service(plan, breaks=[broken]) as doomed:
        doomed.send(crash.new_commands(DEPOSITS - DEPOSITS // 2))
        doomed.wait_until_dead()
    faults = crash.faults()
    assert any(fault in one for one in faults), faults
    with crash.service() as successor:
        successor.await_receipts()
        crash.await_consumed()
        successor.stop()
    faults = crash.faults()
    assert any(fault in one for one in faults), faults
