"""Relays of one service in several processes are killed: every committed entry is published, in its key's order."""

from contextlib import ExitStack

import pytest

from tests.crash.cycles import cycles
from tests.crash.outbox_driver import Ledger, Member
from tests.crash.outbox_world import OutboxWorld
from tests.crash.places import KAFKA, in_each_place

CYCLES = cycles(10)
CYCLES_ON_KAFKA = cycles(3)  # each takes seconds there
# A living relay that loses its lease publishes again what it had not deleted: busy machines must not make it lose one.
LONG_LEASE_SECONDS = 6.0

on_sqlite = ("embedded", "sqlite")
on_postgresql = ("embedded", "postgresql")
on_kafka = ("kafka", "postgresql")

# Log and database, the point, and how often a run passes it at most before it dies there.
CASES = [
    (*on_sqlite, "slot leased, not taken over in the log", 2),
    (*on_sqlite, "slot taken over in the log, lease not renewed", 2),
    (*on_postgresql, "lease renewed, not committed", 3),
    (*on_sqlite, "written, the log's transaction open", 40),
    (*on_postgresql, "written, the log's transaction open", 40),
    (*on_postgresql, "published, not deleted", 6),
    pytest.param(*on_kafka, "slot taken over in the log, lease not renewed", 2, marks=KAFKA),
    pytest.param(*on_kafka, "written, the log's transaction open", 40, marks=KAFKA),
]


def repeats_in(world: OutboxWorld) -> int:
    return len(world.log) - len({record.event_id for record in world.log})


@pytest.mark.parametrize(
    ("log_kind", "database_url", "point", "occurrence_max"), CASES, indirect=["log_kind", "database_url"]
)
def test_a_relay_is_killed_beside_another(ledger: Ledger, log_kind: str, point: str, occurrence_max: int) -> None:
    """The dead relay's slots go to the other, or to its successor under the same name, and nothing is lost."""
    count = CYCLES_ON_KAFKA if log_kind == "kafka" else CYCLES
    with ledger.member() as other:
        other.write()
        name = ledger.new_holder()
        for _ in range(count):
            with ledger.member(name, ledger.plan(point, ledger.random.randint(1, occurrence_max))) as doomed:
                doomed.write()
                doomed.await_killed()
            ledger.assert_sound()
            if ledger.random.random() < 0.2:
                # Nobody comes back under its name: its slots are the other's when the lease has run out.
                name = ledger.new_holder()
        other.rest()
        world = ledger.assert_sound_at_rest()
        other.stop()
    assert len(ledger.kills()) == count
    if point == "published, not deleted":
        assert repeats_in(world) > 0, "no kill was between publishing and deleting"


@in_each_place
def test_relays_are_killed_at_any_moment(ledger: Ledger) -> None:
    """Three processes, one of them killed at a time, wherever it is just then."""
    with ExitStack() as stack:
        members: list[Member] = [stack.enter_context(ledger.member(lease_seconds=LONG_LEASE_SECONDS)) for _ in range(3)]
        for member in members:
            member.write()
        for _ in range(CYCLES):
            killed = members.pop(ledger.random.randrange(len(members)))
            members[0].await_answer("ready")
            ledger.pause(0.05, 0.6)
            killed.kill()
            same_name = ledger.random.random() < 0.7
            holder = killed.holder if same_name else None
            members.append(stack.enter_context(ledger.member(holder, lease_seconds=LONG_LEASE_SECONDS)))
            members[-1].write()
            ledger.assert_sound()
        for member in members:
            member.rest()
        ledger.assert_sound_at_rest()
        for member in members:
            member.stop()
