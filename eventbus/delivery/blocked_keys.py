"""Keys of the outbox whose next record the log refuses: their rows wait, in order, and nobody else's do."""

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from eventbus.database import BlockedRow, OutboxRow
from eventbus.delivery.backoff import Backoff
from eventbus.errors import PublishRefused
from eventbus.transport.port import Published, PublishOutcome

_log = logging.getLogger("eventbus.delivery")

Key = tuple[str, str | int]
"""The topic and the key; of a row without a key, its sequence: it blocks only itself."""


def key_of(row: OutboxRow) -> Key:
    """What the row's order is kept within."""
    return (row.topic, row.sequence if row.key is None else row.key)


@dataclass(frozen=True, slots=True)
class BlockedKey:
    """A key whose first row the log refuses; *rows* of it wait, as far as the relay has looked."""

    topic: str
    key: str | None
    event_id: str
    reason: str
    rows: int


@dataclass(slots=True)
class _Block:
    row: OutboxRow
    reason: str
    blocked_at: datetime
    pauses: Backoff
    try_at: float
    rows: int = 1
    attempts: int = 1

    @property
    def sequence(self) -> int:
        return self.row.sequence


class BlockedKeys:
    """
    The blocked keys of one slot. A blocked row is tried again from time to time: what refuses it can be mended.

    `held` is how many of the rows seen last are waiting: they stay in front of the others in the outbox.
    """

    def __init__(self) -> None:
        self.held = 0
        self._blocks: dict[Key, _Block] = {}

    def shown(self) -> tuple[BlockedKey, ...]:
        """For status."""
        return tuple(
            BlockedKey(block.row.topic, block.row.key, block.row.id, block.reason, block.rows)
            for block in self._blocks.values()
        )

    def rows(self) -> tuple[BlockedRow, ...]:
        """The rows that are refused, for the table that other processes read."""
        return tuple(
            BlockedRow(
                block.sequence,
                block.row.slot,
                block.row.id,
                block.row.type,
                block.row.topic,
                block.row.key,
                block.reason,
                block.attempts,
                block.blocked_at,
            )
            for block in self._blocks.values()
        )

    def try_now(self, sequences: Collection[int]) -> None:
        """Somebody says that what refuses these rows has been mended."""
        for block in self._blocks.values():
            if block.sequence in sequences:
                block.try_at = 0.0

    def clear(self) -> None:
        """Forgets everything: another relay will find out for itself."""
        self._blocks.clear()
        self.held = 0

    def ready(self, rows: Sequence[OutboxRow]) -> list[OutboxRow]:
        """Of *rows*, all from the slot's first on, those whose key is free or is to be tried again now."""
        if not self._blocks:
            self.held = 0
            return list(rows)
        now = time.monotonic()
        ready: list[OutboxRow] = []
        first: dict[Key, int] = {}
        counts: dict[Key, int] = {}
        for row in rows:
            key = key_of(row)
            first.setdefault(key, row.sequence)
            block = self._blocks.get(key)
            if block is None:
                ready.append(row)
                continue
            counts[key] = counts.get(key, 0) + 1
            if row.sequence == block.sequence and now >= block.try_at:
                ready.append(row)
        for key, block in list(self._blocks.items()):
            if first.get(key) == block.sequence:
                block.rows = counts[key]
            else:
                # The row was taken out by hand; the key's other rows are ready the next time.
                del self._blocks[key]
        self.held = len(rows) - len(ready)
        return ready

    def judge(self, row: OutboxRow, outcome: PublishOutcome) -> bool:
        """Blocks or frees the row's key, by the outcome of publishing the row alone; True when it is newly blocked."""
        key = key_of(row)
        block = self._blocks.get(key)
        if isinstance(outcome, PublishRefused):
            is_new = block is None or block.sequence != row.sequence
            if block is None or is_new:
                block = self._blocks[key] = _Block(row, str(outcome), datetime.now(UTC), Backoff(1.0, 60.0), 0.0)
                self.held += 1
                _log.error(
                    "relay: event %s (%s) for key %r waits in the outbox, and blocks its key: %s",
                    row.id,
                    row.type,
                    row.key,
                    outcome,
                )
            else:
                block.attempts += 1
                block.reason = str(outcome)
            block.try_at = time.monotonic() + block.pauses.next()
            return is_new
        if isinstance(outcome, Published) and block is not None and block.sequence == row.sequence:
            del self._blocks[key]
            _log.info("relay: event %s is in the log now, key %r goes on", row.id, row.key)
        return False
