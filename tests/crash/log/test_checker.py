"""The checker on histories by hand: a sound one has no finding, and a planted fault is found under its number."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.crash.log.checker import INVARIANTS, findings
from tests.crash.log.group_rules import copy_of
from tests.crash.log.history import (
    Action,
    Begin,
    Bounds,
    Commit,
    Committed,
    Completed,
    Dump,
    End,
    Entry,
    Fault,
    History,
    Init,
    Invoked,
    Isolation,
    Outcome,
    Poll,
    Seen,
    Send,
    Watch,
    Work,
    read_history,
)

PLAIN, CHANGES, COPIES, KEYS = "plain-0", "changes-0", "copies-0", "keys-0"


class Story:
    """A history, told operation by operation; a second passes with each event."""

    def __init__(self) -> None:
        self.events: list[Invoked | Completed] = []

    def tell(
        self,
        action: Action,
        outcome: Outcome | None = "ok",
        *,
        worker: str = "w",
        offset: int | None = None,
        offsets: dict[str, int] | None = None,
        records: list[Seen] | None = None,
        bounds: dict[str, Bounds] | None = None,
        entries: list[Entry] | None = None,
        end: int | None = None,
    ) -> None:
        """One operation, which completes at once (None: never)."""
        number = len(self.events) + 1
        self.events.append(Invoked(float(number), number, worker, action))
        if outcome is not None:
            self.events.append(Completed(number + 0.5, number, outcome, offset, offsets, records, bounds, entries, end))

    def send(
        self, place: str, value: str, offset: int, *, key: str | None = None, transaction: str | None = None
    ) -> None:
        self.tell(Send(place, "p1", value, key, transaction), offset=offset)

    def poll(self, *seen: tuple[str, int, str], isolation: Isolation = "committed", worker: str = "reader") -> None:
        action = Poll("c", 1, isolation, "g" if isolation == "committed" else None)
        self.tell(action, worker=worker, records=[Seen(*each) for each in seen])

    def dump(self, place: str, entries: Sequence[Entry], *, compacted: bool = False) -> None:
        end = entries[-1].offset + 1 if entries else 0
        self.tell(Dump(place, compacted=compacted, retained=False), entries=list(entries), end=end)


def entry(offset: int, value: str, epoch: int = 0) -> Entry:
    """A transaction's record."""
    return Entry(offset, value, producer_id=7, producer_epoch=epoch, transactional=True)


def commit_marker(offset: int, epoch: int = 0) -> Entry:
    return Entry(offset, None, producer_id=7, producer_epoch=epoch, transactional=True, marker="commit")


def abort_marker(offset: int, epoch: int = 0) -> Entry:
    return Entry(offset, None, producer_id=7, producer_epoch=epoch, transactional=True, marker="abort")


def sound() -> Story:
    """Two plain records, a committed and an aborted transaction, a copy, a key written twice, a group, a fault."""
    story = Story()
    story.tell(Work(100), None, worker="w")
    story.send(PLAIN, "a", 0)
    story.send(PLAIN, "b", 1)
    story.tell(Init("t", "p1"))
    story.tell(Begin("t", "p1", "T1", 900))
    story.send(CHANGES, "x", 0, transaction="T1")
    story.tell(Watch(), bounds={PLAIN: Bounds(0, 2, 2), CHANGES: Bounds(0, 0, 1)})
    story.tell(End("T1", "p1", committed=True))
    story.tell(End("T1", "p1", committed=True))
    story.tell(Begin("t", "p1", "T2", 900))
    story.send(CHANGES, "y", 2, transaction="T2")
    story.tell(End("T2", "p1", committed=False))
    story.tell(Begin("t", "p1", "T3", 900))
    story.send(COPIES, copy_of("a", "T3"), 0, transaction="T3")
    story.tell(Commit("copier", {PLAIN: 1}, transaction="T3"))
    story.tell(End("T3", "p1", committed=True))
    story.tell(Fault("kill"), worker="killer")
    story.send(KEYS, "k1", 0, key="k")
    story.send(KEYS, "k2", 1, key="k")
    story.poll((PLAIN, 0, "a"), (PLAIN, 1, "b"), (CHANGES, 0, "x"))
    story.tell(Commit("g", {PLAIN: 2}))
    story.tell(Committed("g"), offsets={PLAIN: 2})
    story.tell(Committed("copier"), offsets={PLAIN: 1})
    story.tell(
        Watch(),
        bounds={PLAIN: Bounds(0, 2, 2), CHANGES: Bounds(0, 4, 4), COPIES: Bounds(0, 2, 2), KEYS: Bounds(0, 2, 2)},
    )
    story.dump(PLAIN, [Entry(0, "a"), Entry(1, "b")])
    story.dump(CHANGES, [entry(0, "x"), commit_marker(1), entry(2, "y"), abort_marker(3)])
    story.dump(COPIES, [entry(0, copy_of("a", "T3")), commit_marker(1)])
    story.dump(KEYS, [Entry(1, "k2", "k")], compacted=True)
    return story


def lost_record(story: Story) -> None:
    story.send(PLAIN, "c", 2)


def two_values(story: Story) -> None:
    story.poll((PLAIN, 1, "other"), isolation="uncommitted")


def stored_twice(story: Story) -> None:
    story.dump(PLAIN, [Entry(0, "a"), Entry(1, "b"), Entry(2, "b")])


def acknowledged_twice(story: Story) -> None:
    story.send(PLAIN, "b", 0)


def aborted_read(story: Story) -> None:
    story.poll((CHANGES, 2, "y"))


def ended_in_parts(story: Story) -> None:
    story.tell(Begin("t", "p1", "T4", 900))
    story.tell(Send(CHANGES, "p1", "z1", transaction="T4"), "unknown")
    story.tell(Send(PLAIN, "p1", "z2", transaction="T4"), "unknown")
    story.tell(End("T4", "p1", committed=True), "unknown")
    story.dump(
        CHANGES, [entry(0, "x"), commit_marker(1), entry(2, "y"), abort_marker(3), entry(4, "z1"), commit_marker(5)]
    )
    story.dump(PLAIN, [Entry(0, "a"), Entry(1, "b"), entry(2, "z2"), abort_marker(3)])


def own_read(story: Story) -> None:
    story.tell(Begin("t", "p1", "T4", 900))
    story.send(CHANGES, "z", 4, transaction="T4")
    story.poll((CHANGES, 4, "z"), worker="w")


def skipped_record(story: Story) -> None:
    story.send(PLAIN, "c", 2)
    story.send(PLAIN, "d", 3)
    story.poll((PLAIN, 3, "d"))
    story.dump(PLAIN, [Entry(0, "a"), Entry(1, "b"), Entry(2, "c"), Entry(3, "d")])


def went_back(story: Story) -> None:
    story.poll((PLAIN, 0, "a"))


def missed_by_group(story: Story) -> None:
    story.send(PLAIN, "c", 2)
    story.tell(Commit("g", {PLAIN: 3}))
    story.tell(Committed("g"), offsets={PLAIN: 3})
    story.dump(PLAIN, [Entry(0, "a"), Entry(1, "b"), Entry(2, "c")])


def open_read(story: Story) -> None:
    story.tell(Begin("t", "p1", "T4", 900))
    story.send(CHANGES, "z", 4, transaction="T4")
    story.poll((CHANGES, 5, "behind"))


def stable_went_back(story: Story) -> None:
    story.tell(Watch(), bounds={CHANGES: Bounds(0, 3, 4)})


def wrong_end(story: Story) -> None:
    story.dump(CHANGES, [entry(0, "x"), abort_marker(1), entry(2, "y"), abort_marker(3)])


def end_unasked(story: Story) -> None:
    story.tell(Begin("t", "p1", "T4", 900))
    story.send(CHANGES, "z", 4, transaction="T4")
    story.dump(
        CHANGES, [entry(0, "x"), commit_marker(1), entry(2, "y"), abort_marker(3), entry(4, "z"), commit_marker(5)]
    )


def ended_both_ways(story: Story) -> None:
    story.tell(End("T2", "p1", committed=True))


def offset_without_copy(story: Story) -> None:
    story.tell(Committed("copier"), offsets={PLAIN: 2})


def copy_without_offset(story: Story) -> None:
    story.tell(Committed("copier"), offsets={PLAIN: -1})


def offset_went_back(story: Story) -> None:
    story.tell(Committed("g"), offsets={PLAIN: 1})


def zombie(story: Story) -> None:
    story.tell(Init("t", "p2"))
    story.tell(Begin("t", "p1", "T4", 900))
    story.tell(End("T4", "p1", committed=True))


def epoch_went_back(story: Story) -> None:
    story.dump(CHANGES, [entry(0, "x", 1), commit_marker(1, 1), entry(2, "y", 0), abort_marker(3, 1)])


def stable_above_high(story: Story) -> None:
    story.tell(Watch(), bounds={PLAIN: Bounds(0, 3, 2)})


def high_went_back(story: Story) -> None:
    story.tell(Watch(), bounds={PLAIN: Bounds(0, 1, 1)})


def acknowledged_above_high(story: Story) -> None:
    story.send(PLAIN, "c", 2)
    story.tell(Watch(), bounds={PLAIN: Bounds(0, 2, 2)})


def high_beyond_the_end(story: Story) -> None:
    story.tell(Watch(), bounds={PLAIN: Bounds(0, 5, 5)})


def last_of_key_gone(story: Story) -> None:
    story.dump(KEYS, [Entry(0, "k1", "k")], compacted=True)


def nothing_after_the_fault(story: Story) -> None:
    late = story.events[-1].at + 1
    number = len(story.events) + 1
    story.events.append(Invoked(late, number, "killer", Fault("kill")))
    story.events.append(Completed(late, number, "ok"))
    story.events.append(Completed(late + 200, story.events[0].operation, "ok"))


def stable_stays_behind(story: Story) -> None:
    story.tell(Watch(), bounds={CHANGES: Bounds(0, 4, 5)})


PLANTED: dict[int, tuple[Callable[[Story], None], ...]] = {
    1: (lost_record,),
    2: (two_values,),
    3: (stored_twice, acknowledged_twice),
    4: (aborted_read, ended_in_parts),
    5: (own_read,),
    6: (skipped_record, went_back, missed_by_group),
    7: (open_read, stable_went_back),
    8: (wrong_end, end_unasked, ended_both_ways),
    9: (offset_without_copy, copy_without_offset),
    10: (offset_went_back,),
    11: (zombie, epoch_went_back),
    12: (stable_above_high, high_went_back, acknowledged_above_high, high_beyond_the_end),
    13: (last_of_key_gone,),
    14: (nothing_after_the_fault, stable_stays_behind),
}


def test_a_sound_history_has_no_finding() -> None:
    """Of every kind of operation, with a repeated end and a record that compaction has replaced."""
    assert findings(sound().events) == []


@pytest.mark.parametrize(
    ("number", "plant"),
    [(number, plant) for number, plants in PLANTED.items() for plant in plants],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_planted_fault_is_found_under_its_number(number: int, plant: Callable[[Story], None]) -> None:
    """With words that name the place."""
    story = sound()
    plant(story)
    found = [finding for finding in findings(story.events) if finding.invariant == number]
    assert found
    assert str(found[0]).startswith(f"invariant {number}: ")


def test_every_invariant_has_a_planted_fault() -> None:
    """None of the fourteen is a number only."""
    assert PLANTED.keys() == INVARIANTS.keys() == set(range(1, 15))


def test_what_is_not_known_is_no_finding() -> None:
    """A send, an end and a commit without an answer may have happened or not."""
    for there in (True, False):
        story = sound()
        story.tell(Send(PLAIN, "p1", "c"), "unknown")
        story.tell(Begin("t", "p1", "T4", 900))
        story.tell(Send(CHANGES, "p1", "z", transaction="T4"), "unknown")
        story.tell(End("T4", "p1", committed=True), None)
        story.tell(Commit("g", {PLAIN: 3}), "unknown")
        if there:
            story.poll((PLAIN, 2, "c"))
            story.tell(Committed("g"), offsets={PLAIN: 3})
            story.tell(Watch(), bounds={PLAIN: Bounds(0, 3, 3), CHANGES: Bounds(0, 6, 6)})
            story.dump(PLAIN, [Entry(0, "a"), Entry(1, "b"), Entry(2, "c")])
            story.dump(
                CHANGES,
                [entry(0, "x"), commit_marker(1), entry(2, "y"), abort_marker(3), entry(4, "z"), commit_marker(5)],
            )
            # The copier's offset is behind: what came later is not copied.
        assert [str(finding) for finding in findings(story.events)] == []


def test_an_offset_that_somebody_asked_for_is_no_step_back() -> None:
    """Also when the answer to that was lost."""
    story = sound()
    story.tell(Commit("g", {PLAIN: 1}), "unknown")
    story.tell(Committed("g"), offsets={PLAIN: 1})
    assert findings(story.events) == []


def test_a_history_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """Every field of every kind, through the file."""
    history = History(tmp_path / "history.jsonl")
    sent = history.invoke("w", Send(PLAIN, "p", None, key="k", transaction="T"))
    history.complete(sent, "ok", offset=3)
    looked = history.invoke("w", Watch())
    history.complete(looked, "ok", bounds={PLAIN: Bounds(0, 1, 2)})
    dumped = history.invoke("w", Dump(PLAIN, compacted=True, retained=False))
    history.complete(dumped, "ok", entries=[Entry(0, None, "k", marker="abort")], end=1)
    history.close()
    events = list(read_history(history.path))
    assert [event.action for event in events if isinstance(event, Invoked)] == [
        Send(PLAIN, "p", None, key="k", transaction="T"),
        Watch(),
        Dump(PLAIN, compacted=True, retained=False),
    ]
    done = [event for event in events if isinstance(event, Completed)]
    assert (done[0].offset, done[1].bounds, done[2].end) == (3, {PLAIN: Bounds(0, 1, 2)}, 1)
    assert done[2].entries == [Entry(0, None, "k", marker="abort")]
