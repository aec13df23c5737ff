"""A process is frozen until another has taken over its work, and wakes up in the middle of it."""

import pytest

from tests.crash.driver import Crash
from tests.crash.service import REBUILD_LEASE_SECONDS


@pytest.mark.parametrize("point", ["before a batch of handlers", "before a projection batch"])
def test_a_service_that_wakes_up_too_late_writes_nothing_twice(crash: Crash, point: str) -> None:
    """Its checkpoint is fenced by the successor's claim; it claims again, and shares the work from then on."""
    with crash.service() as other:
        # First, so that it is the relay: a frozen one would keep the slot for the rest of its lease.
        other.await_ready()
        with crash.service(crash.plan_to_freeze(point)) as zombie:
            zombie.await_words("records to read")
            zombie.feed_until_frozen(other)
            other.send(crash.new_commands(40))
            other.await_receipts()
            crash.assert_sound_at_rest()
            zombie.thaw()
            zombie.await_words("claiming again")
            other.send(crash.new_commands(20))
            zombie.send(crash.new_commands(20))
            while crash.unacknowledged():
                assert other.hear(), crash.words
                assert zombie.hear(), crash.words
            crash.assert_sound_at_rest()
            zombie.stop()
        other.stop()


def test_a_rebuild_that_wakes_up_too_late_begins_its_switch_again(crash: Crash) -> None:
    """
    Its lease has run out and the live view has gone on: what differs now is no reason to refuse, and it does not switch
    to rows that lag behind.
    """
    with crash.service() as service:
        service.send(crash.new_commands(100))
        service.await_receipts()
        crash.assert_sound_at_rest()
        with crash.process(crash.plan_to_freeze("rebuild comparing")) as rebuild:
            rebuild.tell("rebuild", "account_summaries")
            rebuild.await_frozen()
            service.feed(2 * REBUILD_LEASE_SECONDS)
            service.await_receipts()
            crash.assert_sound_at_rest()
            rebuild.thaw()
            while rebuild.hear():
                service.feed(0.05, burst_max=3)
            assert rebuild.rebuilt == [(2, False)], crash.words
        service.await_receipts()
        crash.assert_sound_at_rest()
        service.stop()
