"""
A rebuild, from the log or from the event store, and a rollback are killed on their way and in the middle of the switch,
beside a service that goes on; each is ended by the next one, and the live view is sound throughout.
"""

import pytest

from tests.crash.driver import Crash, Service
from tests.crash.service import REBUILD_BATCH

EVENTS = 6 * REBUILD_BATCH
FED_SECONDS = 0.1


@pytest.mark.parametrize("point", ["rebuild 30 %", "rebuild 70 %", "rebuild comparing"])
def test_a_killed_rebuild_is_gone_on_with(crash: Crash, point: str) -> None:
    """
    Each time the next rebuild takes the unfinished generation, ends it and switches; the live view is sound throughout.
    """
    with crash.service() as service:
        service.send(crash.new_commands(EVENTS))
        service.await_receipts()
        crash.assert_sound_at_rest()
        for cycle in range(crash.cycles):
            service.send(crash.new_commands(5))
            with crash.process(crash.plan(point, 1)) as rebuild:
                rebuild.tell("rebuild", "account_summaries")
                rebuild.wait_until_dead()
            service.feed(FED_SECONDS, burst_max=5)
            rebuilt = finished(crash, service)
            assert rebuilt == (cycle + 2, True), "the generation of the killed rebuild was not gone on with"
            service.await_receipts()
        crash.assert_sound_at_rest()
        service.stop()
    assert len(crash.kills()) == crash.cycles


def test_a_killed_rebuild_from_the_event_store_is_gone_on_with(crash: Crash) -> None:
    """At another place of the store each time, while commands go on to be handled, relayed and projected."""
    with crash.service() as service:
        service.send(crash.new_commands(EVENTS))
        service.await_receipts()
        crash.assert_sound_at_rest()
        for cycle in range(crash.cycles):
            service.send(crash.new_commands(5))
            step = crash.random.randint(1, EVENTS // REBUILD_BATCH)
            with crash.process(crash.plan("rebuild reading the event store", step)) as rebuild:
                rebuild.tell("rebuild from store", "account_summaries")
                rebuild.wait_until_dead()
            service.feed(FED_SECONDS, burst_max=5)
            assert finished(crash, service, "rebuild from store") == (cycle + 2, True)
            service.await_receipts()
        crash.assert_sound_at_rest()
        service.stop()
    assert len(crash.kills()) == crash.cycles


@pytest.mark.parametrize("point", ["rebuild 30 %", "rebuild comparing"])
def test_a_killed_rollback_leaves_the_live_view_as_it_is_and_is_repeated(crash: Crash, point: str) -> None:
    """While it catches up, and in the switch; the generations take turns, and each is sound when it serves."""
    with crash.service() as service:
        service.send(crash.new_commands(EVENTS))
        service.await_receipts()
        crash.assert_sound_at_rest()
        assert finished(crash, service) == (2, False)
        for cycle in range(crash.cycles):
            service.send(crash.new_commands(5))
            with crash.process(crash.plan(point, 1)) as rollback:
                rollback.tell("rollback", "account_summaries")
                rollback.wait_until_dead()
            service.feed(FED_SECONDS, burst_max=5)
            assert finished(crash, service, "rollback") == (1 + cycle % 2, False)
            service.await_receipts()
        crash.assert_sound_at_rest()
        service.stop()
    assert len(crash.kills()) == crash.cycles


def finished(crash: Crash, service: Service, what: str = "rebuild") -> tuple[object, ...]:
    """Rebuilds or goes back to the end beside the service: the generation, and whether it was a killed rebuild's."""
    with crash.process() as rebuild:
        rebuild.tell(what, "account_summaries")
        while rebuild.hear():
            assert service.hear(), crash.words
        assert rebuild.rebuilt, crash.words
        return rebuild.rebuilt[0]
