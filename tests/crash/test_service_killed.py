"""A service is killed at named points, ten times each (twice on a cluster), and loses and repeats nothing."""

import sqlite3
import time
from contextlib import suppress

import pytest

from tests.crash.checker import repeats_in
from tests.crash.driver import Crash
from tests.crash.world import World

# The point, and how often a run passes it at most before it dies there.
CASES = {
    "command decided, nothing committed": 30,
    "committed, not published": 4,
    "published, not deleted": 4,
    "deleted, not committed": 4,
    "message admitted, not handled": 4,
    "in the middle of a batch of handlers": 40,
    "in the dead letters, not committed": 1,
    "handled and committed, group offset not": 4,
    "in the middle of a projection batch": 4,
    "projected and committed, group offset not": 4,
}


def play(crash: Crash, point: str) -> World:
    """Kills the service there in every cycle, checks what each kill has left, and everything at the end."""
    for _ in range(crash.cycles):
        plan = crash.plan(point, crash.random.randint(1, CASES[point]))
        with crash.service(plan) as service:
            service.feed_until_dead()
        crash.assert_sound()
    with crash.service() as service:
        service.await_receipts()
        world = crash.assert_sound_at_rest()
        service.stop()
    assert len(crash.kills()) == crash.cycles
    return world


@pytest.mark.parametrize("point", CASES)
def test_nothing_is_lost_or_doubled(crash: Crash, point: str) -> None:
    """On SQLite: whatever was acknowledged is stored, published in order, and has taken effect once."""
    world = play(crash, point)
    if point == "published, not deleted":
        assert repeats_in(world) > 0, "no kill was between publishing and deleting"


@pytest.mark.parametrize("point", ["published, not deleted", "in the middle of a projection batch"])
def test_nothing_is_lost_or_doubled_on_postgresql(crash_on_postgresql: Crash, point: str) -> None:
    """The same where a killed process' transaction is the server's to roll back; and on three nodes of Apache Kafka."""
    play(crash_on_postgresql, point)


def test_a_kill_at_any_moment(crash: Crash) -> None:
    """SIGKILL from outside, wherever the service is just then."""
    with crash.service() as service:
        service.await_ready()
        service.kill()
    for _ in range(crash.cycles):
        with crash.service() as service:
            service.feed(crash.random.uniform(0.05, 0.6))
            service.kill()
        crash.assert_sound()
    with crash.service() as service:
        service.await_receipts()
        crash.assert_sound_at_rest()
        service.stop()


@pytest.mark.timeout(300)  # eleven starts, each with a broker of its own
def test_a_kill_at_any_moment_of_the_first_start(crash: Crash) -> None:
    """No tables, no broker, no topics yet, or half of them: the next start makes what is missing."""
    for _ in range(crash.cycles):
        with crash.service() as service:
            service.send(crash.new_commands(3))
            time.sleep(crash.random.uniform(0, 0.4))
            service.kill()
        with suppress(sqlite3.OperationalError):  # no database yet, or no tables in it
            crash.doubt()
    with crash.service() as service:
        service.await_receipts()
        crash.assert_sound_at_rest()
        service.stop()
