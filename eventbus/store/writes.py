"""
What group commit writes, and how it may be refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from eventbus.errors import ConcurrencyConflict, EventBusError
from eventbus.store.event_rows import NewRow, placed
from eventbus.store.snapshots import Snapshot
from eventbus.store.streams import Expect, in_words


@dataclass(slots=True)
class ExactAppend:
    """
    Rows for a stream that is to be at version *base*.

    wanted   what was expected of it where any version will do: then *base* is a guess, and a refusal tells a better one
    """

    stream: str
    base: int
    rows: Sequence[NewRow]
    wanted: Expect | None = None


@dataclass(slots=True)
class Write:
    """
    What is committed together, or not at all. Not frozen, as every command makes one; nobody changes it.

    appends    at most one a stream
    outbox     the rows that are published, in this order; those of appends among them
    commands   ids and receipts of commands that are to be handled once
    """

    appends: Sequence[ExactAppend]
    outbox: Sequence[NewRow]
    commands: Sequence[tuple[str, str]] = ()
    snapshots: Sequence[Snapshot] = ()

    def seen(self, stream: str, version: int) -> "Write | None":
        """The same, now that *stream* has been seen at *version*; None: that will not do."""
        appends = {one.stream: one for one in self.appends}
        before = appends[stream]
        if before.wanted is None or (before.wanted is Expect.EXISTS and version == 0):
            return None
        rows = [placed(row, at) for at, row in enumerate(before.rows, start=version + 1)]
        appends[stream] = ExactAppend(stream, version, rows, before.wanted)
        new = {row[0]: row for row in rows}
        return Write(
            list(appends.values()), [new.get(row[0], row) for row in self.outbox], self.commands, self.snapshots
        )

    def in_its_words(self, refusal: "Refusal") -> "Refusal":
        """*refusal* with what was expected, where that was no version."""
        if isinstance(refusal, ConcurrencyConflict):
            for one in self.appends:
                if one.stream == refusal.stream and one.wanted is not None:
                    return ConcurrencyConflict(one.stream, in_words(one.wanted), refusal.actual)
        return refusal


class CommandRepeated(EventBusError):
    """A command of this id has been handled, by somebody else and meanwhile; nothing was written. Has its receipt."""

    def __init__(self, command_id: str, receipt: str) -> None:
        super().__init__(f"command {command_id!r} has been handled already")
        self.command_id = command_id
        self.receipt = receipt


Refusal: TypeAlias = ConcurrencyConflict | CommandRepeated
"""Why a write was not done, and others of its group were."""
