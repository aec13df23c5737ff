"""A relay is frozen past its lease and wakes up in what it was doing: it publishes and deletes nothing."""

import pytest

from tests.crash.cycles import cycles
from tests.crash.outbox_driver import Ledger
from tests.crash.places import in_each_place

CYCLES = cycles(1)
TRIES_MORE = 2 + CYCLES // 5
# A lease of two seconds, its rows on a machine that does other things besides, and the wait for a lock.
TAKEOVER_SECONDS_MAX = 15.0

# Where it is frozen, what stops it when it wakes, and whether its successor has to publish again what it had published.
CASES = {
    "committed, not published": ("taken over", False),
    "written, the log's transaction open": ("was taken over, or its producer given up", False),
    "published, not deleted": ("of the outbox: held with lease epoch", True),
}


@in_each_place
@pytest.mark.parametrize("point", CASES)
def test_a_relay_that_wakes_up_too_late_changes_nothing(ledger: Ledger, point: str) -> None:
    """
    The log refuses its producer, the database its delete; it takes part again. The database is slow to tell it that its
    lease is lost, so that it is not saved by being told in time.
    """
    saying, repeats = CASES[point]
    with ledger.member() as other:
        cycles_left, tries_left = CYCLES, CYCLES + TRIES_MORE
        while cycles_left:
            assert tries_left, ledger.explained(["it was frozen inside of a transaction again and again"])
            tries_left -= 1
            plan = ledger.plan_to_freeze(point)
            with ledger.member(plan=plan, breaks=["renewing slowly when woken"]) as zombie:
                zombie.await_frozen(other)
                if repeats:
                    ledger.doubt(zombie.holder)
                if other.takes_slots(4, TAKEOVER_SECONDS_MAX):
                    cycles_left -= 1
                    ledger.await_rest()
                    zombie.thaw()
                    zombie.await_words(saying)
                else:
                    # It was renewing another slot's lease as well, and holds that row: no case of this test.
                    assert other.has_said("is locked"), ledger.explained(["nothing is locked, and nobody takes over"])
                    zombie.thaw()
                ledger.assert_sound()
                zombie.stop()
        other.rest()
        assert not other.has_said("or its producer given up"), "the successor was fenced in turn"
        ledger.assert_sound_at_rest()
        other.stop()
