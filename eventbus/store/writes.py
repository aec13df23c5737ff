"""
What group commit writes, and how it may be refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from eventbus.database import OutboxRow
from eventbus.database.batches import Value
from eventbus.errors import ConcurrencyConflict, EventBusError
from eventbus.store.event_rows import event_rows
from eventbus.store.snapshots import Snapshot
from eventbus.store.streams import Append


@dataclass(frozen=True, slots=True)
class ExactAppend:
    """An append whose stream is to be at version *base*."""

    append: Append
    base: int

    def rows(self) -> list[tuple[Value, ...]]:
        """Of its events."""
        return event_rows(self.append, self.base)


@dataclass(frozen=True, slots=True)
class Write:
    """
    What is committed together, or not at all.

    commands   ids and receipts of commands that are to be handled once
    """

    appends: Sequence[ExactAppend]
    outbox: Sequence[OutboxRow]
    commands: Sequence[tuple[str, str]] = ()
    snapshots: Sequence[Snapshot] = ()


class CommandRepeated(EventBusError):
    """A command of this id has been handled, by somebody else and meanwhile; nothing was written. Has its receipt."""

    def __init__(self, command_id: str, receipt: str) -> None:
        super().__init__(f"command {command_id!r} has been handled already")
        self.command_id = command_id
        self.receipt = receipt


Refusal: TypeAlias = ConcurrencyConflict | CommandRepeated
"""Why a write was not done, and others of its group were."""
