"""A process that has nothing but the views is killed, and what handles commands and events goes on beside it."""

from tests.crash.driver import Crash


def test_a_projector_that_is_killed_at_any_moment_leaves_rows_as_its_checkpoints_say(crash: Crash) -> None:
    """Commands and handlers never notice; the next projector goes on, and every event is in the rows once."""
    with crash.projector() as first:
        first.await_ready()
        first.stop()
    with crash.service(part="commands and handlers") as service:
        service.await_ready()
        for _ in range(crash.cycles):
            with crash.projector() as projector:
                service.feed(crash.random.uniform(0.2, 0.9), burst_max=10)
                projector.kill()
            crash.doubt()  # it has a relay, too
            service.await_receipts()
            crash.await_sound()
        assert not service.failures, service.failures
        with crash.projector() as last:
            world = crash.assert_sound_at_rest()
            last.stop()
        service.stop()
    assert sum(deposits for deposits, _ in world.summaries.values()) == len(crash.told.sent)
    assert len(crash.kills()) == crash.cycles
