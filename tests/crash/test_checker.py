"""The checker's own teeth: a sound world has no fault, and each kind of damage is one."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.crash.checker import Told, faults_at_any_moment, faults_at_rest
from tests.crash.world import Checkpoint, DeadLetter, Effect, LogRecord, StoredRow, World


def sound_world() -> World:
    """Two deposits of one account and one of another, all audited, consumed to the end."""
    deposits = [("a", 1, 1), ("a", 2, 2), ("b", 1, 3)]
    stored: list[StoredRow] = []
    log: list[LogRecord] = []
    for topic, aggregate, kind in (("accounts", "Account", "Deposited"), ("audits", "Audit", "Audited")):
        for offset, (account, version, number) in enumerate(deposits):
            row = StoredRow(
                f"{aggregate}-{account}", version, f"{kind}-{number}", kind, topic, f'{{"number":{number}}}'
            )
            stored.append(row)
            log.append(LogRecord(topic, 0, offset, account, row.id, kind, row.stream, version, row.data))
    return World(
        log=log,
        ends={("accounts", 0): 3, ("audits", 0): 3},
        stored=sorted(stored, key=lambda row: (row.stream, row.version)),
        effects=[Effect("Deposited-1", "a", 1), Effect("Deposited-2", "a", 2), Effect("Deposited-3", "b", 3)],
        outbox=frozenset(),
        checkpoints=[
            Checkpoint("accounts", "accounts", 0, 3),
            Checkpoint("account_summaries", "accounts", 0, 3),
            Checkpoint("journal", "audits", 0, 3),
        ],
        summaries={"a": (2, 33), "b": (1, 3)},
        journal=[("Deposited-1", 1), ("Deposited-2", 2), ("Deposited-3", 3)],
        dead_letters=[],
    )


def told() -> Told:
    return Told(
        sent={"c-1": 1, "c-2": 2, "c-3": 3},
        acknowledged={"c-1": ["Deposited-1"], "c-2": ["Deposited-2"], "c-3": ["Deposited-3"]},
    )


def swapped(log: list[LogRecord], first: int, second: int) -> list[LogRecord]:
    """Two records have changed their offsets."""
    other = list(log)
    other[first] = replace(log[second], offset=log[first].offset)
    other[second] = replace(log[first], offset=log[second].offset)
    return other


def repeated(world: World, index: int) -> World:
    """The record is in the log once more, at the end of its partition, and has been passed over."""
    record = world.log[index]
    end = world.ends[record.topic, record.partition]
    return replace(
        world,
        log=sorted([*world.log, replace(record, offset=end)], key=lambda one: (one.topic, one.partition, one.offset)),
        ends={**world.ends, (record.topic, record.partition): end + 1},
        checkpoints=[
            replace(one, next_offset=end + 1) if one.topic == record.topic else one for one in world.checkpoints
        ],
    )


def poisoned(world: World, letters: int) -> World:
    """The last deposit is one that cannot be handled, with so many dead letters."""
    data = '{"number":39}'
    return replace(
        world,
        stored=[replace(row, data=data) if row.id.endswith("-3") else row for row in world.stored],
        log=[replace(record, data=data) if record.id.endswith("-3") else record for record in world.log],
        effects=world.effects[:2],
        summaries={**world.summaries, "b": (1, 39)},
        journal=[*world.journal[:2], ("Deposited-3", 39)],
        dead_letters=[DeadLetter("accounts", "accounts.take_effect", "Deposited-3")] * letters,
    )


def test_a_sound_world_has_no_fault() -> None:
    """The checker is not afraid of what is right."""
    assert faults_at_rest(sound_world(), told()) == []


def test_a_repeat_is_a_fault_unless_its_event_was_in_doubt() -> None:
    """Once for each death that found it in the outbox, and no more."""
    once, twice = repeated(sound_world(), 1), repeated(repeated(sound_world(), 1), 1)
    in_doubt = doubting(told(), "Deposited-2")
    assert len(faults_at_rest(once, told())) == 1
    assert faults_at_rest(once, in_doubt) == []
    assert len(faults_at_rest(twice, in_doubt)) == 1


def test_what_cannot_be_handled_is_one_dead_letter() -> None:
    """That is no fault: it is where it belongs."""
    sent = replace(told(), sent={"c-1": 1, "c-2": 2, "c-3": 39})
    assert faults_at_rest(poisoned(sound_world(), 1), sent) == []


def doubting(before: Told, event_id: str) -> Told:
    return replace(before, in_doubt=Counter({event_id: 1}))


def test_work_half_done_is_no_fault_at_any_moment_and_one_at_rest() -> None:
    """Consumers behind the end, an event in the outbox, a command without a receipt."""
    world = sound_world()
    behind = replace(
        world,
        log=world.log[:5],
        ends={("accounts", 0): 3, ("audits", 0): 2},
        outbox=frozenset({"Audited-3"}),
        checkpoints=[
            Checkpoint("accounts", "accounts", 0, 3),
            Checkpoint("account_summaries", "accounts", 0, 1),
            Checkpoint("journal", "audits", 0, 1),
        ],
        summaries={"a": (1, 1)},
        journal=[("Deposited-1", 1)],
    )
    unanswered = replace(told(), sent={**told().sent, "c-4": 4})
    assert faults_at_any_moment(behind, unanswered) == []
    assert len(faults_at_rest(behind, unanswered)) == 4


DAMAGES: dict[str, Callable[[World], World]] = {
    "an acknowledged event is not stored": lambda w: replace(w, stored=[r for r in w.stored if r.id != "Deposited-3"]),
    "a command was handled twice": lambda w: replace(
        w, stored=[*w.stored, StoredRow("Account-b", 2, "again", "Deposited", "accounts", '{"number":3}')]
    ),
    "a stream has a gap": lambda w: replace(
        w, stored=[replace(r, version=3) if r.id == "Audited-2" else r for r in w.stored]
    ),
    "an event is missing in the log": lambda w: replace(w, log=w.log[:-1]),
    "an event is in the log and was never committed": lambda w: replace(
        w, log=[*w.log, replace(w.log[-1], offset=3, id="ghost", version=2)]
    ),
    "a record's bytes differ from the store": lambda w: replace(
        w, log=[*w.log[:-1], replace(w.log[-1], data='{"number":4}')]
    ),
    "two events of a stream have changed places": lambda w: replace(w, log=swapped(list(w.log), 0, 1)),
    "a stream is in two partitions": lambda w: replace(
        w, log=[replace(r, partition=1) if r.id == "Deposited-2" else r for r in w.log]
    ),
    "an effect is missing": lambda w: replace(w, effects=w.effects[1:]),
    "an effect is doubled": lambda w: replace(w, effects=[*w.effects, w.effects[-1]]),
    "effects have changed places": lambda w: replace(w, effects=[w.effects[1], w.effects[0], w.effects[2]]),
    "a row is altered": lambda w: replace(w, summaries={**w.summaries, "a": (2, 34)}),
    "a row is missing": lambda w: replace(w, summaries={"a": w.summaries["a"]}),
    "a row is too many": lambda w: replace(w, summaries={**w.summaries, "c": (1, 1)}),
    "a journal row is doubled": lambda w: replace(w, journal=[*w.journal, w.journal[0]]),
    "a journal row is missing": lambda w: replace(w, journal=w.journal[1:]),
    "what could be handled is a dead letter": lambda w: replace(
        w, dead_letters=[DeadLetter("accounts", "accounts.take_effect", "Deposited-1")]
    ),
    "a dead letter is missing": lambda w: poisoned(w, 0),
    "a dead letter is doubled": lambda w: poisoned(w, 2),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_a_fault_at_any_moment(damage: Callable[[World], World]) -> None:
    """One thing is changed in a sound world, and the checker says so."""
    sent = replace(told(), sent={**told().sent, "c-39": 39})
    assert faults_at_any_moment(damage(sound_world()), sent)
