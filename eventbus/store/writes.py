"""
What group commit writes, and how it may be refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from eventbus.errors import ConcurrencyConflict, EventBusError
from eventbus.store.event_rows import NewRow
from eventbus.store.snapshots import Snapshot


@dataclass(slots=True)
class ExactAppend:
    """Rows for a stream that is to be at version *base*."""

    stream: str
    base: int
    rows: Sequence[NewRow]


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


class CommandRepeated(EventBusError):
    """A command of this id has been handled, by somebody else and meanwhile; nothing was written. Has its receipt."""

    def __init__(self, command_id: str, receipt: str) -> None:
        super().__init__(f"command {command_id!r} has been handled already")
        self.command_id = command_id
        self.receipt = receipt


Refusal: TypeAlias = ConcurrencyConflict | CommandRepeated
"""Why a write was not done, and others of its group were."""
