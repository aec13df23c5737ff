"""
What a transaction will write, kept in memory until then.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from eventbus.database import OutboxRow
from eventbus.errors import ConcurrencyConflict
from eventbus.store.snapshots import Snapshot
from eventbus.store.streams import Append, Appended, Expect, ExpectedVersion, StoredEvent, in_words
from eventbus.store.writes import ExactAppend, Write


@dataclass(slots=True)
class PendingStream:
    """What is to be appended to one stream; *base* is None where any version will do, and is found out later."""

    expected: ExpectedVersion
    base: int | None
    category: str
    topic: str | None
    events: list[StoredEvent] = field(default_factory=list[StoredEvent])

    @property
    def version(self) -> int | None:
        """Where the stream will be; None: nobody knows yet."""
        return None if self.base is None else self.base + len(self.events)


class Pending:
    """
    Appends, outbox rows, commands and snapshots that have not reached the database.

    has_given_ids   whether an event's id is the caller's, so that it may have been appended before
    """

    __slots__ = ("commands", "has_given_ids", "rows", "snapshots", "streams")

    def __init__(self) -> None:
        self.streams: dict[str, PendingStream] = {}
        self.rows: list[OutboxRow] = []
        self.commands: dict[str, str] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.has_given_ids = False

    def __bool__(self) -> bool:
        return bool(self.streams or self.rows or self.commands or self.snapshots)

    def append(
        self,
        stream: str,
        expected: ExpectedVersion,
        events: Sequence[StoredEvent],
        category: str,
        topic: str | None,
    ) -> None:
        """Keep *events*. Raises ConcurrencyConflict when the stream will be at another version than the expected."""
        self.expect(stream, expected)
        pending = self.streams.get(stream)
        if pending is None:
            base = 0 if expected is Expect.NONE else expected if isinstance(expected, int) else None
            pending = self.streams[stream] = PendingStream(expected, base, category, topic)
        pending.events.extend(events)

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
            return pending.events[max(0, version - pending.base) :]
        return [
            StoredEvent(replace(event.envelope, stream_version=at), event.data)
            for at, event in enumerate(pending.events, start=version + 1)
        ]

    def join(self, other: "Pending") -> None:
        """Keep all that *other* has. Raises ConcurrencyConflict, and has nothing of it then."""
        for stream, pending in other.streams.items():
            self.expect(stream, pending.expected)
        for stream, pending in other.streams.items():
            self.append(stream, pending.expected, pending.events, pending.category, pending.topic)
        self.rows.extend(other.rows)
        self.commands.update(other.commands)
        self.snapshots.update(other.snapshots)
        self.has_given_ids |= other.has_given_ids

    def write(self) -> Write | None:
        """All of it for group commit; None: it depends on what is in the database in other ways than by versions."""
        if self.has_given_ids:
            return None
        appends: list[ExactAppend] = []
        for append in self.appends():
            base = self.streams[append.stream].base
            if base is None:
                return None
            appends.append(ExactAppend(append, base))
        return Write(appends, self.rows, tuple(self.commands.items()), tuple(self.snapshots.values()))

    def appends(self) -> Iterator[Append]:
        """What is to be appended."""
        for stream, pending in self.streams.items():
            if pending.events:
                yield Append(stream, pending.expected, pending.events, pending.category, pending.topic)

    def rows_after(self, appended: Sequence[Appended]) -> list[OutboxRow]:
        """
        The outbox rows, now that the events have been appended: with their versions, where any version would do, and
        without what had been appended before.
        """
        repeated: set[str] = set()
        versions: dict[str, int] = {}
        for one in appended:
            pending = self.streams[one.stream]
            ids = [event.envelope.id for event in pending.events]
            if one.is_repeat:
                repeated.update(ids)
            elif pending.base is None:
                versions.update(zip(ids, range(one.version - len(ids) + 1, one.version + 1), strict=True))
        if not repeated and not versions:
            return self.rows
        return [_versioned(row, versions) for row in self.rows if row.id not in repeated]


def _versioned(row: OutboxRow, versions: Mapping[str, int]) -> OutboxRow:
    version = versions.get(row.id)
    if version is None:
        return row
    return replace(row, stream_version=version, headers=(*row.headers, ("ce_streamversion", str(version))))
