"""
What a transaction will write, kept in memory until then: rows, as nobody but the database looks at them as a rule.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from eventbus.errors import ConcurrencyConflict
from eventbus.store.event_rows import NewRow, placed
from eventbus.store.snapshots import Snapshot
from eventbus.store.streams import Append, Appended, Expect, ExpectedVersion, StoredEvent, in_words
from eventbus.store.writes import ExactAppend, Write

# No stream is there: so what was to be found out is told by the refusal, and rows never get in without their versions.
_GUESS: Final = -1


@dataclass(slots=True)
class PendingStream:
    """What is to be appended to one stream; *base* is None where any version will do, and is found out later."""

    expected: ExpectedVersion
    base: int | None
    category: str
    topic: str | None
    rows: list[NewRow]

    @property
    def version(self) -> int | None:
        """Where the stream will be; None: nobody knows yet."""
        return None if self.base is None else self.base + len(self.rows)


class Pending:
    """
    Appends, outbox rows, commands and snapshots that have not reached the database.

    rows            what is published, in its order; of the rows of appends those that have a topic
    has_given_ids   whether an event's id is the caller's, so that it may have been appended before
    """

    __slots__ = ("commands", "has_given_ids", "rows", "snapshots", "streams")

    def __init__(self) -> None:
        self.streams: dict[str, PendingStream] = {}
        self.rows: list[NewRow] = []
        self.commands: dict[str, str] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.has_given_ids = False

    def __bool__(self) -> bool:
        return bool(self.streams or self.rows or self.commands or self.snapshots)

    def append(
        self, stream: str, expected: ExpectedVersion, rows: Sequence[NewRow], category: str, topic: str | None
    ) -> None:
        """Keep *rows*. Raises ConcurrencyConflict when the stream will be at another version than the expected."""
        pending = self.streams.get(stream)
        if pending is not None:
            self.expect(stream, expected)
            pending.rows.extend(rows)
            return
        base = expected if isinstance(expected, int) else 0 if expected is Expect.NONE else None
        self.streams[stream] = PendingStream(expected, base, category, topic, list(rows))

    def expect(self, stream: str, expected: ExpectedVersion) -> None:
        """Raises ConcurrencyConflict when what is pending for the stream would leave it at another version."""
        pending = self.streams.get(stream)
        if pending is None or expected in {Expect.ANY, Expect.EXISTS}:
            return
        version = pending.version
        if version != (0 if expected is Expect.NONE else expected):
            raise ConcurrencyConflict(stream, in_words(expected), version)

    def after(self, stream: str, version: int) -> list[StoredEvent]:
        """The pending events of the stream behind *version*, which is where the database has it, or a later one."""
        pending = self.streams.get(stream)
        if pending is None:
            return []
        if pending.base is not None:
            return [StoredEvent.of_row(row) for row in pending.rows[max(0, version - pending.base) :]]
        return [StoredEvent.of_row(placed(row, at)) for at, row in enumerate(pending.rows, start=version + 1)]

    def join(self, other: "Pending") -> None:
        """Keep all that *other* has. Raises ConcurrencyConflict, and has nothing of it then."""
        for stream, pending in other.streams.items():
            self.expect(stream, pending.expected)
        for stream, pending in other.streams.items():
            self.append(stream, pending.expected, pending.rows, pending.category, pending.topic)
        self.rows.extend(other.rows)
        self.commands.update(other.commands)
        self.snapshots.update(other.snapshots)
        self.has_given_ids |= other.has_given_ids

    def write(self) -> Write | None:
        """All of it for group commit; None: whether it is there already is to be found out by its ids."""
        if self.has_given_ids:
            return None
        appends = [
            ExactAppend(stream, pending.base, pending.rows)
            if pending.base is not None
            else ExactAppend(stream, _GUESS, pending.rows, Expect(pending.expected))
            for stream, pending in self.streams.items()
            if pending.rows
        ]
        commands = tuple(self.commands.items()) if self.commands else ()
        return Write(appends, self.rows, commands, tuple(self.snapshots.values()) if self.snapshots else ())

    def appends(self) -> Iterator[Append]:
        """What is to be appended."""
        for stream, pending in self.streams.items():
            if pending.rows:
                events = [StoredEvent.of_row(row) for row in pending.rows]
                yield Append(stream, pending.expected, events, pending.category, pending.topic)

    def rows_after(self, appended: Sequence[Appended]) -> list[NewRow]:
        """
        The rows to publish, now that the events have been appended: with their versions, where any version would do,
        and without what had been appended before.
        """
        repeated: set[str] = set()
        versions: dict[str, int] = {}
        for one in appended:
            pending = self.streams[one.stream]
            ids = [row[0] for row in pending.rows]
            if one.is_repeat:
                repeated.update(ids)
            elif pending.base is None:
                versions.update(zip(ids, range(one.version - len(ids) + 1, one.version + 1), strict=True))
        if not repeated and not versions:
            return self.rows
        return [
            row if row[0] not in versions else placed(row, versions[row[0]])
            for row in self.rows
            if row[0] not in repeated
        ]
