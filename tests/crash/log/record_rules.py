"""Invariants of single records and of a log's bounds: 1, 2, 3, 6, 12 and 13."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator

from tests.crash.log.facts import Facts
from tests.crash.log.history import Bounds, Isolation, Operation, Watch


def lost(facts: Facts) -> Iterator[str]:
    """1: whatever was acknowledged, and is of no aborted transaction, is where it was said to be."""
    for send, offset in facts.acknowledged:
        log = facts.logs.get(send.place)
        if send.value is None or log is None or log.action.compacted:
            continue
        if log.action.retained and (not log.entries or offset < log.entries[0].offset):
            continue
        if offset not in facts.offset_of.get((send.place, send.value), ()):
            yield f"{send.place}@{offset} was acknowledged to {send.producer} as {send.value!r} and is not there"


def two_values(facts: Facts) -> Iterator[str]:
    """2: answers, consumers and the log at rest agree on what an offset holds."""
    known: dict[tuple[str, int], tuple[str | None, str]] = {}
    told: set[tuple[str, int]] = set()
    for place, offset, value, source in _observations(facts):
        first = known.setdefault((place, offset), (value, source))
        if first[0] != value and (place, offset) not in told:
            told.add((place, offset))
            yield f"{place}@{offset} is {first[0]!r} for {first[1]} and {value!r} for {source}"


def _observations(facts: Facts) -> Iterator[tuple[str, int, str | None, str]]:
    for send, offset in facts.acknowledged:
        yield send.place, offset, send.value, f"its producer {send.producer}"
    for operation, poll in facts.polls:
        for seen in (operation.result.records or ()) if operation.result else ():
            yield seen.place, seen.offset, seen.value, f"consumer {poll.consumer}"
    for place, log in facts.logs.items():
        for entry in log.entries:
            yield place, entry.offset, f"marker {entry.marker}" if entry.marker else entry.value, "the log"


def twice(facts: Facts) -> Iterator[str]:
    """3: every producer is idempotent, so a value has one offset."""
    acknowledged: dict[tuple[str, str], set[int]] = defaultdict(set)
    for send, offset in facts.acknowledged:
        if send.value is not None:
            acknowledged[send.place, send.value].add(offset)
    for (place, value), offsets in acknowledged.items():
        if len(offsets) > 1:
            yield f"{value!r} was acknowledged in {place} at {sorted(offsets)}"
    for (place, value), found in facts.offset_of.items():
        if len(found) > 1:
            yield f"{value!r} is in {place} at {found}"


def skipped(facts: Facts) -> Iterator[str]:
    """6: within an assignment offsets rise, and nothing that is in the log lies between them; a group misses none."""
    last: dict[tuple[str, int, str], int] = {}
    visible: dict[tuple[str, Isolation], list[int]] = {
        (place, isolation): [entry.offset for entry in log.visible(isolation)]
        for place, log in facts.logs.items()
        for isolation in _ISOLATIONS
    }
    by_group: dict[tuple[str, str, Isolation], set[int]] = defaultdict(set)
    for operation, poll in facts.polls:
        for seen in (operation.result.records or ()) if operation.result else ():
            key = (poll.consumer, poll.assignment, seen.place)
            before = last.get(key)
            last[key] = seen.offset
            if poll.group is not None:
                by_group[poll.group, seen.place, poll.isolation].add(seen.offset)
            if before is None:
                continue
            if seen.offset <= before:
                yield f"{poll.consumer} got {seen.place}@{seen.offset} after {before}, without a rebalance"
                continue
            offsets = visible.get((seen.place, poll.isolation), [])
            between = offsets[bisect_right(offsets, before) : bisect_left(offsets, seen.offset)]
            if between:
                yield f"{poll.consumer} got {seen.place}@{seen.offset} after {before}, {between[:5]} are between"
    yield from _missed_by_groups(facts, visible, by_group)


_ISOLATIONS: tuple[Isolation, ...] = ("committed", "uncommitted")


def _missed_by_groups(
    facts: Facts,
    visible: dict[tuple[str, Isolation], list[int]],
    by_group: dict[tuple[str, str, Isolation], set[int]],
) -> Iterator[str]:
    for (group, place, isolation), seen in by_group.items():
        looks = facts.committed.get((group, place))
        if not looks or place not in facts.logs or facts.logs[place].action.retained:
            continue
        committed = looks[-1][1]
        missed = [offset for offset in visible[place, isolation] if offset < committed and offset not in seen]
        if missed:
            yield f"group {group} has committed {committed} in {place} and never got {len(missed)}: {missed[:5]}"


def bounds(facts: Facts) -> Iterator[str]:
    """12: start <= LSO <= high watermark, none goes back; what is acknowledged is below it, and it is the log's end."""
    before: dict[str, Bounds] = {}
    watches: dict[str, list[tuple[Operation, Bounds]]] = defaultdict(list)
    for operation, _ in facts.of(Watch):
        for place, now in (operation.result.bounds or {}).items() if operation.result else ():
            watches[place].append((operation, now))
            if not now.start <= now.stable <= now.high:
                yield f"{place}: start {now.start}, last stable offset {now.stable}, high watermark {now.high}"
            then = before.get(place, now)
            before[place] = now
            if now.start < then.start or now.high < then.high:
                yield f"{place}: start {then.start} and high watermark {then.high} went back to {now.start}, {now.high}"
    for operation, send in facts.sends:
        if operation.outcome != "ok" or operation.result is None or operation.result.offset is None:
            continue
        seen = watches.get(send.place, [])
        later = bisect_left(seen, operation.completed, key=lambda pair: pair[0].invoked)
        if later < len(seen) and seen[later][1].high <= operation.result.offset:
            yield (
                f"{send.place}@{operation.result.offset} was acknowledged, and the high watermark is "
                f"{seen[later][1].high} after that"
            )
    for place, log in facts.logs.items():
        if place in before and before[place].high != log.end:
            yield f"{place}: the high watermark is {before[place].high} at rest, the log ends at {log.end}"


def compacted_away(facts: Facts) -> Iterator[str]:
    """13: of every key the last known record, or a later one, is there; only tombstones may go."""
    newest: dict[tuple[str, str], tuple[int, str | None]] = {}
    for place, offset, key, value in _keyed(facts):
        if (place, key) not in newest or newest[place, key][0] < offset:
            newest[place, key] = (offset, value)
    there: dict[tuple[str, str], int] = {}
    for place, log in facts.logs.items():
        for entry in log.visible("committed"):
            if entry.key is not None:
                there[place, entry.key] = entry.offset
    for (place, key), (offset, value) in newest.items():
        found = there.get((place, key))
        if found is None and value is None:
            continue
        if found is None or found < offset:
            yield f"{place}: the last record of key {key!r} was {value!r} at {offset}, the log has it at {found}"


def _keyed(facts: Facts) -> Iterator[tuple[str, int, str, str | None]]:
    compacted = {place for place, log in facts.logs.items() if log.action.compacted}
    for send, offset in facts.acknowledged:
        if send.place in compacted and send.key is not None and send.transaction is None:
            yield send.place, offset, send.key, send.value
