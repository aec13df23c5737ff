"""Invariants of groups and of coming back: 9, 10 and 14."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.crash.log.facts import Facts
from tests.crash.log.history import Bounds, Commit, Dump, Fault, Operation, Watch, Work


def copy_of(value: str, transaction: str) -> str:
    """What a transaction writes for each record that it has consumed."""
    return f"{value} copied in {transaction}"


def offsets_without_output(facts: Facts) -> Iterator[str]:
    """9: what a group has consumed in transactions is copied once, what it has not is not."""
    groups = {commit.group for _, commit in facts.of(Commit) if commit.transaction is not None}
    copies: Counter[str] = Counter()
    for log in facts.logs.values():
        for entry in log.visible("committed"):
            original, copied, _ = (entry.value or "").partition(" copied in ")
            if copied:
                copies[original] += 1
    for (group, place), looks in facts.committed.items():
        if group not in groups or place not in facts.logs:
            continue
        committed = looks[-1][1]
        for entry in facts.logs[place].visible("committed"):
            if entry.value is None:
                continue
            expected = 1 if entry.offset < committed else 0
            if copies[entry.value] != expected:
                yield (
                    f"group {group} has committed {committed} in {place}, and {place}@{entry.offset} {entry.value!r} "
                    f"is copied {copies[entry.value]} times"
                )


def offsets_gone_back(facts: Facts) -> Iterator[str]:
    """10: a group's offset is at least what was committed or seen last, unless somebody asked for less since."""
    for (group, place), looks in facts.committed.items():
        asked = facts.commits.get((group, place), [])
        acknowledged = sorted(
            (
                (operation.completed, offset, operation.invoked)
                for operation, offset in asked
                if operation.outcome == "ok"
            ),
        )
        seen: tuple[float, int] | None = None
        for look, offset in looks:
            at = bisect_right(acknowledged, look.invoked, key=lambda each: each[0])
            floors = [(each[1], each[2]) for each in acknowledged[max(0, at - 50) : at]]
            if seen is not None:
                floors.append((seen[1], seen[0]))
            floor, since = max(floors, default=(-1, 0.0))
            if offset < floor and not any(
                operation.completed >= since and operation.invoked <= look.completed and wanted < floor
                for operation, wanted in asked
            ):
                yield f"group {group} had {floor} in {place} and has {offset}, which nobody asked for"
            seen = (look.invoked, offset)


def stuck(facts: Facts) -> Iterator[str]:
    """14: every worker gets something done soon after a fault; at rest nothing holds the LSO back."""
    done: dict[str, list[float]] = defaultdict(list)
    for operation in facts.operations:
        if operation.outcome == "ok" and not isinstance(operation.action, Fault | Work):
            done[operation.worker].append(operation.completed)
    for times in done.values():
        times.sort()
    faults = [(operation, fault) for operation, fault in facts.of(Fault)]
    workers = list(facts.of(Work))
    for index, (operation, fault) in enumerate(faults):
        if operation.outcome != "ok":
            yield f"the fault {fault.name!r} could not be healed: {operation.result.reason if operation.result else ''}"
            continue
        until = faults[index + 1][0].invoked if index + 1 < len(faults) else float("inf")
        for running, work in workers:
            deadline = operation.completed + work.resumes_s
            if running.invoked > operation.completed or min(running.completed, until) < deadline:
                continue
            times = done[running.worker]
            after = bisect_right(times, operation.completed)
            if after == len(times) or times[after] > deadline:
                yield f"{running.worker} got nothing done within {work.resumes_s:g} s of {fault.name}"
    for operation, dump in facts.of(Dump):
        if operation.outcome != "ok":
            yield f"{dump.place} could not be read at rest"
    for place, last in _last_bounds(facts).items():
        if place in facts.logs and last.stable < last.high:
            yield f"{place}: the last stable offset is {last.stable} at rest, the high watermark {last.high}"


def _last_bounds(facts: Facts) -> dict[str, Bounds]:
    last: dict[str, Bounds] = {}
    watches: list[Operation] = [operation for operation, _ in facts.of(Watch)]
    for operation in watches:
        last |= (operation.result.bounds or {}) if operation.result else {}
    return last
