"""
The teeth of the outbox's checker: the relay is broken on purpose, in the processes under test, and it finds each break.

The same plays without the break are those of `test_relays_killed` and `test_relays_frozen`.
"""

import time

from tests.crash.outbox_driver import SOUND_SECONDS_MAX, Ledger
from tests.crash.places import with_broken_relays

pytestmark = with_broken_relays


def test_a_relay_without_slots_is_found(ledger: Ledger) -> None:
    """Two relays that both publish every slot repeat each other's rows, and nobody has died."""
    with ledger.member(breaks=["without slots"]) as one, ledger.member(breaks=["without slots"]) as two:
        one.write()
        two.write()
        faults = await_faults(ledger)
    assert any("for the 2. time" in fault for fault in faults), faults


def test_a_relay_without_fencing_in_the_log_is_found(ledger: Ledger) -> None:
    """One that wakes up past its lease publishes again what its successor has: the lease alone is not in time."""
    breaks = ["without transactional fencing", "renewing slowly when woken"]
    plan = ledger.plan_to_freeze("committed, not published")
    with ledger.member(breaks=breaks) as other, ledger.member(plan=plan, breaks=breaks) as zombie:
        zombie.await_frozen(other)
        other.await_slots(4)
        ledger.await_rest()
        zombie.thaw()
        faults = await_faults(ledger)
    assert any("for the 2. time" in fault for fault in faults), faults


def test_a_relay_that_deletes_first_is_found(ledger: Ledger) -> None:
    """Killed between deleting and publishing, it leaves committed entries that are nowhere."""
    plan = ledger.plan("about to be published", 3)
    with ledger.member(plan=plan, breaks=["deleting first"]) as doomed:
        doomed.write()
        doomed.await_killed()
    with ledger.member() as successor:
        successor.await_answer("ready")
        ledger.await_rest()
        faults = ledger.faults_at_rest()
        successor.stop()
    assert any("is committed and not in the log" in fault for fault in faults), faults


def await_faults(ledger: Ledger) -> list[str]:
    """Returns what the checker finds in the log, as soon as it finds something."""
    deadline = time.monotonic() + SOUND_SECONDS_MAX
    while not (faults := ledger.faults()):
        assert time.monotonic() < deadline, ledger.words
        time.sleep(0.05)
    return faults
