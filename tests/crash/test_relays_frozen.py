"""Relays are frozen past their leases and wake up in what they were doing: they publish and delete nothing."""

from collections import Counter
from contextlib import ExitStack

from tests.crash.cycles import cycles
from tests.crash.outbox_driver import Ledger, Member

CYCLES = cycles(5)  # a place on each of two databases: ten in all
ROUNDS_MAX = 2 * CYCLES + 3
# A lease of a second, its rows on a machine that does other things besides, and the wait for a lock.
TAKEOVER_SECONDS_MAX = 15.0

FENCED = "was taken over, or its producer given up"
LEASE_LOST = "of the outbox: held with lease epoch"
# Where one is frozen, what stops it when it wakes, and whether its successor publishes again what it had published.
CASES = {
    "committed, not published": ("taken over", False),
    "written, the log's transaction open": (FENCED, False),
    "published, not deleted": (LEASE_LOST, True),
}
TOLD_IN_TIME = "was taken over by another process; what is in flight is given up"


def test_relays_that_wake_up_too_late_change_nothing(ledger: Ledger) -> None:
    """
    Three at a time, one at each place, each with a slot of its own: the log refuses their producers, the database their
    deletes; they take part again. The database is slow to tell them that their leases are lost, so that they are seldom
    saved by being told in time; then it is no cycle.
    """
    done: Counter[str] = Counter()
    with ledger.member() as other:
        for _ in range(ROUNDS_MAX):
            done.update(play(ledger, other))
            if min(done[point] for point in CASES) >= CYCLES:
                break
        assert all(done[point] >= CYCLES for point in CASES), ledger.explained([f"so often only: {done}"])
        other.rest()
        # On a machine that stands still for a second its own lease may run out; then, and only then, it is fenced.
        assert other.times_said(FENCED) <= other.times_said(LEASE_LOST) + other.times_said(TOLD_IN_TIME)
        ledger.assert_sound_at_rest()
        other.stop()


def play(ledger: Ledger, other: Member) -> list[str]:
    """The places where one was frozen, and was stopped by nothing but the fence."""
    with ExitStack() as stack:
        zombies = {
            point: stack.enter_context(
                ledger.member(plan=ledger.plan_to_freeze(point), breaks=["renewing slowly when woken"])
            )
            for point in CASES
        }
        for zombie in zombies.values():
            zombie.await_slots(1)
        # A slot of each: who is frozen at it must not have published another's rows.
        other.await_share(1)
        other.write_until_frozen(list(zombies.values()))
        for point, (_, repeats) in CASES.items():
            if repeats:
                ledger.doubt(zombies[point].holder)
        is_taken_over = other.takes_slots(4, TAKEOVER_SECONDS_MAX)
        if is_taken_over:
            ledger.await_rest()
        else:
            # One was in a transaction besides, renewing its lease, and holds that row: no case of this test.
            assert other.has_said("is locked"), ledger.explained(["nothing is locked, and nobody takes over"])
        for zombie in zombies.values():
            zombie.thaw()
        stopped: list[str] = []
        for point, (saying, _) in CASES.items() if is_taken_over else ():
            zombies[point].await_words(saying, TOLD_IN_TIME)
            if zombies[point].has_said(saying):
                stopped.append(point)
        ledger.assert_sound()
        for zombie in zombies.values():
            zombie.tell("stop")
        for zombie in zombies.values():
            zombie.stop()
    return stopped
