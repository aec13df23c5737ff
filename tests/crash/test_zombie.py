"""A process is frozen until another has taken over its work, and wakes up in the middle of it."""

import time

import pytest

from tests.crash.checker import repeats_in
from tests.crash.driver import Crash, Service
from tests.crash.parts import Part
from tests.crash.service import PARTITIONS, REBUILD_LEASE_SECONDS

# What the processes run, and where one of them is frozen.
CASES: list[tuple[Part, str]] = [
    ("all", "before a batch of handlers or of a projection"),
    ("all, in lanes", "before a lane's batch, or one of a projection"),
]


@pytest.mark.parametrize(("part", "point"), CASES)
def test_a_service_that_wakes_up_too_late_writes_nothing_twice(crash: Crash, part: Part, point: str) -> None:
    """Its checkpoints are fenced by the successor's claims; it claims again, and shares the work from then on."""
    with crash.service(part=part) as other:
        # First, so that it is the relay: a frozen one would keep the slot for the rest of its lease.
        other.await_ready()
        with crash.service(crash.plan_to_freeze(point), part=part) as zombie:
            await_shared(other, zombie)
            zombie.feed_until_frozen(other)
            # It has slots of the outbox as well: what it has published and not yet deleted, others publish again.
            crash.doubt()
            other.send(crash.new_commands(40))
            other.await_receipts()
            crash.assert_sound_at_rest()
            zombie.thaw()
            zombie.await_words("consumer accounts: checkpoint of")
            zombie.await_words("consumer account_summaries: checkpoint of")
            await_shared(other, zombie)
            other.send(crash.new_commands(20))
            zombie.send(crash.new_commands(20))
            while crash.unacknowledged():
                assert other.hear(), crash.words
                assert zombie.hear(), crash.words
            crash.assert_sound_at_rest()
            zombie.stop()
        other.stop()


def test_a_relay_that_wakes_up_too_late_publishes_nothing(crash: Crash) -> None:
    """Frozen between claiming and publishing, past its lease: its producers have been fenced in the log."""
    with crash.service() as other:
        other.await_ready()
        with crash.service(crash.plan_to_freeze("committed, not published")) as zombie:
            zombie.feed_until_frozen(other)
            other.send(crash.new_commands(40))
            other.await_receipts()
            crash.assert_sound_at_rest()
            zombie.thaw()
            zombie.await_words("was taken over")
            other.send(crash.new_commands(20))
            other.await_receipts()
            assert repeats_in(crash.assert_sound_at_rest()) == 0
            zombie.stop()
        other.stop()


def await_shared(*services: Service) -> None:
    """Returns when each of them has some partitions for each of its consumers, and all together have all."""
    deadline = time.monotonic() + 30
    while True:
        shares = [service.partitions() for service in services]
        if all(min(share) > 0 for share in shares) and all(
            sum(group) == PARTITIONS for group in zip(*shares, strict=True)
        ):
            return
        assert time.monotonic() < deadline, shares
        time.sleep(0.05)


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
