"""
A history, looked at from the sides that the invariants need: what was sent, what each log has, how transactions ended.

How a transaction ended is what the log says: the first marker of its producer behind its records. Before the log was
dumped (or when it holds no record of it) only the answers tell.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeVar

from tests.crash.log.history import (
    Action,
    Begin,
    Commit,
    Committed,
    Completed,
    Dump,
    End,
    Entry,
    Init,
    Invoked,
    Isolation,
    Operation,
    Poll,
    Send,
    operations,
)

A = TypeVar("A", bound=Action)
Ending = Literal["commit", "abort", "open"]


@dataclass(slots=True)
class Dumped:
    """One place at rest."""

    action: Dump
    entries: list[Entry]
    end: int
    endings: dict[int, Ending] = field(default_factory=dict)
    """By the offset of each record of a transaction."""

    def visible(self, isolation: Isolation) -> list[Entry]:
        """What a reader is to get, in order."""
        return [
            entry
            for entry in self.entries
            if entry.marker is None
            and (isolation == "uncommitted" or not entry.transactional or self.endings[entry.offset] == "commit")
        ]


@dataclass(slots=True)
class Transaction:
    """One transaction from everything that was said about it."""

    name: str
    begin: Operation
    producer: str
    sends: list[tuple[Operation, Send]] = field(default_factory=list)
    ends: list[tuple[Operation, End]] = field(default_factory=list)
    earliest_end: float = float("inf")
    """Before this moment nobody has asked for its end."""

    @property
    def told(self) -> Ending:
        """What its producer was told: open when it was told nothing."""
        for operation, end in self.ends:
            if operation.outcome == "ok":
                return "commit" if end.committed else "abort"
        return "open"


class Facts:
    """An index of a history; computed as it is asked for."""

    def __init__(self, events: Iterable[Invoked | Completed]) -> None:
        self.operations = operations(events)

    def of(self, kind: type[A]) -> Iterator[tuple[Operation, A]]:
        """The operations of one kind, as they were invoked."""
        for operation in self.operations:
            if isinstance(operation.action, kind):
                yield operation, operation.action

    @cached_property
    def sends(self) -> list[tuple[Operation, Send]]:
        return list(self.of(Send))

    @cached_property
    def acknowledged(self) -> list[tuple[Send, int]]:
        """What was acknowledged, with its offset."""
        return [
            (send, operation.result.offset)
            for operation, send in self.sends
            if operation.outcome == "ok" and operation.result is not None and operation.result.offset is not None
        ]

    @cached_property
    def polls(self) -> list[tuple[Operation, Poll]]:
        return [(operation, poll) for operation, poll in self.of(Poll) if operation.outcome == "ok"]

    @cached_property
    def logs(self) -> dict[str, Dumped]:
        """Each place's last dump."""
        found: dict[str, Dumped] = {}
        for operation, dump in self.of(Dump):
            result = operation.result
            if result is not None and result.entries is not None:
                log = Dumped(dump, result.entries, result.end or 0)
                log.endings = _endings(result.entries)
                found[dump.place] = log
        return found

    @cached_property
    def offset_of(self) -> dict[tuple[str, str], list[int]]:
        """Where each value stands in the dumped logs: (place, value) → offsets."""
        found: dict[tuple[str, str], list[int]] = defaultdict(list)
        for place, log in self.logs.items():
            for entry in log.entries:
                if entry.value is not None and entry.marker is None:
                    found[place, entry.value].append(entry.offset)
        return found

    @cached_property
    def transactions(self) -> dict[str, Transaction]:
        found: dict[str, Transaction] = {}
        by_id: dict[str, list[Transaction]] = defaultdict(list)
        for operation, begin in self.of(Begin):
            transaction = Transaction(begin.transaction, operation, begin.producer)
            transaction.earliest_end = operation.invoked + begin.timeout_s
            found[begin.transaction] = transaction
            by_id[begin.transactional_id].append(transaction)
        for operation, send in self.sends:
            if send.transaction is not None:
                found[send.transaction].sends.append((operation, send))
        for operation, end in self.of(End):
            transaction = found[end.transaction]
            transaction.ends.append((operation, end))
            transaction.earliest_end = min(transaction.earliest_end, operation.invoked)
        for operation, init in self.of(Init):
            for transaction in by_id[init.transactional_id]:
                if operation.invoked > transaction.begin.invoked:
                    transaction.earliest_end = min(transaction.earliest_end, operation.invoked)
        return found

    @cached_property
    def transaction_of(self) -> dict[str, Transaction]:
        """By the values that were sent in it."""
        return {
            send.value: transaction
            for transaction in self.transactions.values()
            for _, send in transaction.sends
            if send.value is not None
        }

    def stored(self, transaction: Transaction) -> Iterator[tuple[str, int, str, Ending]]:
        """Its records in the dumped logs: place, offset, value, and how they ended."""
        for _, send in transaction.sends:
            if send.value is not None:
                for offset in self.offset_of.get((send.place, send.value), ()):
                    yield send.place, offset, send.value, self.logs[send.place].endings.get(offset, "open")

    @cached_property
    def commits(self) -> dict[tuple[str, str], list[tuple[Operation, int]]]:
        """What was asked for: (group, place) → operations with the offset. Those in transactions count as their end."""
        found: dict[tuple[str, str], list[tuple[Operation, int]]] = defaultdict(list)
        for operation, commit in self.of(Commit):
            counted = self._in_effect(operation, commit)
            if counted is not None:
                for place, offset in commit.offsets.items():
                    found[commit.group, place].append((counted, offset))
        return found

    @cached_property
    def committed(self) -> dict[tuple[str, str], list[tuple[Operation, int]]]:
        """What was seen: (group, place) → looks with the offset."""
        found: dict[tuple[str, str], list[tuple[Operation, int]]] = defaultdict(list)
        for operation, look in self.of(Committed):
            if operation.outcome == "ok" and operation.result is not None and operation.result.offsets is not None:
                for place, offset in operation.result.offsets.items():
                    found[look.group, place].append((operation, offset))
        return found

    def _in_effect(self, operation: Operation, commit: Commit) -> Operation | None:
        if operation.outcome == "fail":
            return None
        if commit.transaction is None:
            return operation
        transaction = self.transactions[commit.transaction]
        ends = [each for each, end in transaction.ends if end.committed and each.outcome != "fail"]
        if transaction.told == "abort" or not ends:
            return None
        told = next((each for each in ends if each.outcome == "ok"), None)
        if told is not None:
            return told
        return Operation(operation.number, operation.worker, commit, ends[0].invoked)


def _endings(entries: list[Entry]) -> dict[int, Ending]:
    markers: dict[int, list[tuple[int, Ending]]] = defaultdict(list)
    for entry in entries:
        if entry.marker is not None:
            markers[entry.producer_id].append((entry.offset, entry.marker))
    found: dict[int, Ending] = {}
    for entry in entries:
        if entry.transactional and entry.marker is None:
            own = markers[entry.producer_id]
            at = bisect_right(own, entry.offset, key=lambda pair: pair[0])
            found[entry.offset] = own[at][1] if at < len(own) else "open"
    return found
