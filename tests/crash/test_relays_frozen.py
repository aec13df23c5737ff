"""A relay is frozen past its lease and wakes up in what it was doing: it publishes and deletes nothing."""

import pytest

from tests.crash.cycles import cycles
from tests.crash.outbox_driver import Ledger

CYCLES = cycles(1)

# Where it is frozen, what stops it when it wakes, and whether its successor has to publish again what it had published.
CASES = {
    "committed, not published": ("taken over", False),
    "written, the log's transaction open": ("was taken over, or its producer given up", False),
    "published, not deleted": ("of the outbox: held with lease epoch", True),
}


@pytest.mark.parametrize("point", CASES)
def test_a_relay_that_wakes_up_too_late_changes_nothing(ledger: Ledger, point: str) -> None:
    """
    The log refuses its producer, the database its delete; it takes part again. The database is slow to tell it that its
    lease is lost, so that it is not saved by being told in time.
    """
    saying, repeats = CASES[point]
    with ledger.member() as other:
        for _ in range(CYCLES):
            plan = ledger.plan_to_freeze(point)
            with ledger.member(plan=plan, breaks=["renewing slowly when woken"]) as zombie:
                zombie.await_frozen(other)
                if repeats:
                    ledger.doubt(zombie.holder)
                other.await_slots(4)
                ledger.await_rest()
                zombie.thaw()
                zombie.await_words(saying)
                ledger.assert_sound()
                zombie.stop()
        other.rest()
        assert not other.has_said("or its producer given up"), "the successor was fenced in turn"
        ledger.assert_sound_at_rest()
        other.stop()
