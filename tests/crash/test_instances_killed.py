"""Two processes of one service share its work and its database, and either is killed at any moment."""

import time

from tests.crash.driver import Crash, Service


def test_the_other_instance_goes_on_and_a_command_sent_to_both_is_handled_once(crash: Crash) -> None:
    """Partitions, the relay's slot and unanswered commands change hands, and nothing is done twice."""
    instances = [crash.started(), crash.started()]
    try:
        for instance in instances:
            instance.await_ready()
        for _ in range(crash.cycles):
            feed_both(crash, instances, crash.random.uniform(0.2, 0.6))
            killed = crash.random.randrange(2)
            instances[killed].kill()
            instances[killed].end()
            crash.doubt()
            instances[killed] = crash.started()
        deadline = time.monotonic() + 30
        while crash.unacknowledged():
            assert all(instance.hear() for instance in instances), crash.words
            assert time.monotonic() < deadline, [instance.failures for instance in instances]
        crash.assert_sound_at_rest()
        for instance in instances:
            instance.stop()
    finally:
        for instance in instances:
            instance.end()
    assert len(crash.kills()) == crash.cycles


def feed_both(crash: Crash, instances: list[Service], seconds: float) -> None:
    """Every command goes to both, under the same id."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        commands = crash.new_commands(crash.random.randint(1, 10)) if len(crash.unacknowledged()) < 60 else []
        for instance in instances:
            instance.send(commands)
            assert instance.hear(), crash.words
