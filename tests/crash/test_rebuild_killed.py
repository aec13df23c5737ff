"""A rebuild is killed at shares of its way, beside a service that goes on, and ends up with the live rows."""

import pytest

from tests.crash.cycles import cycles
from tests.crash.driver import Crash, Service
from tests.crash.service import REBUILD_BATCH

CYCLES = {"rebuild 30 %": cycles(10), "rebuild 70 %": cycles(10), "rebuild comparing": cycles(3)}
EVENTS = 6 * REBUILD_BATCH
FED_SECONDS = 0.1


@pytest.mark.parametrize("point", CYCLES)
def test_a_killed_rebuild_is_gone_on_with(crash: Crash, point: str) -> None:
    """
    Each time the next rebuild takes the unfinished generation, ends it and switches; the live view is sound throughout.
    """
    with crash.service() as service:
        service.send(crash.new_commands(EVENTS))
        service.await_receipts()
        crash.assert_sound_at_rest()
        for cycle in range(CYCLES[point]):
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
    assert len(crash.kills()) == CYCLES[point]


def finished(crash: Crash, service: Service) -> tuple[object, ...]:
    """Rebuilds to the end beside the service: the generation, and whether it was a killed rebuild's."""
    with crash.process() as rebuild:
        rebuild.tell("rebuild", "account_summaries")
        while rebuild.hear():
            assert service.hear(), crash.words
        assert rebuild.rebuilt, crash.words
        return rebuild.rebuilt[0]
