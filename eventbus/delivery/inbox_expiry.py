"""
Lets the rows of a service's inbox expire, behind its checkpoints (see `eventbus.database.inbox_horizons`).

Each minute   when the checkpoints have passed the last note, what was handled before its time less `kept` is forgotten,
              and the ends of all partitions that the handlers read, delay topics too, are noted anew with the time
Processes     each of a service's notes and looks; one at a time deletes
Held          by a topic that the service does not read any more and has not read to its end: reading it again would
              go on there
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio

from eventbus.database import Checkpoints, Database, InboxHorizons, LogEnd, LogPartition
from eventbus.delivery.retry_records import is_retry_topic
from eventbus.errors import BrokerUnavailable, DatabaseUnavailable
from eventbus.transport.port import Transport

_log = logging.getLogger("eventbus.delivery")

_PAUSE_SECONDS: Final = 60.0
_ROWS: Final = 2000
"""Of one transaction, at most: others want to write too."""


@dataclass(frozen=True, slots=True)
class Note:
    """
    What the log held at a time.

    noted_at   before the ends were read, so that what was in the log then lies below them
    """

    noted_at: datetime
    ends: Sequence[LogEnd]


class InboxExpiry:
    """
    Of one service's event handlers.

    topics         where the handled events are
    delay_topics   those of the service itself
    kept_seconds   the longest time in which a relay could publish an event again
    """

    def __init__(
        self,
        service: str,
        topics: Sequence[str],
        delay_topics: Sequence[str],
        database: Database,
        transport: Transport,
        *,
        kept_seconds: float,
    ) -> None:
        self._service = service
        self._read = {(service, topic) for topic in topics} | {(topic, topic) for topic in delay_topics}
        self._database = database
        self._transport = transport
        self._kept = timedelta(seconds=kept_seconds)
        self._note: Note | None = None

    async def run(self) -> None:
        """Each minute, until it is cancelled. Never raises."""
        while True:
            try:
                await self.once()
            except (DatabaseUnavailable, BrokerUnavailable):
                pass  # said by the consumers, which wait for the same
            except Exception:
                _log.exception("%s: expiring rows of the inbox failed, trying again", self._service)
            await anyio.sleep(_PAUSE_SECONDS)

    async def once(self) -> int:
        """
        Forgets what can be since the last note, and notes the ends anew; how many rows it forgot. Raises
        DatabaseUnavailable, BrokerUnavailable.
        """
        expired = 0
        if self._note is not None:
            while (rows := await self._expire(self._note)) == _ROWS:
                expired += rows
            expired += rows or 0
            if rows is None and datetime.now(UTC) - self._note.noted_at < self._kept:
                # Not for ever: a topic that was made anew since will never be read up to the old one's end.
                return expired
        self._note = await self._take_note()
        return expired

    async def _expire(self, note: Note) -> int | None:
        begun = time.monotonic()
        async with self._database.transaction() as connection:
            rows = await InboxHorizons().expire(
                connection, self._service, note.noted_at - self._kept, note.ends, limit=_ROWS
            )
        if rows == _ROWS:
            # Half of the time is for others: SQLite has one writer.
            await anyio.sleep(time.monotonic() - begun)
        return rows

    async def _take_note(self) -> Note:
        noted_at = datetime.now(UTC)
        async with self._database.reading() as connection:
            found = await Checkpoints().list(connection)
        read = self._read | {
            (one.consumer, one.log.topic)
            for one in found
            if one.consumer == self._service or is_retry_topic(self._service, one.consumer)
        }
        log = await self._transport.describe(sorted({topic for _, topic in read}))
        return Note(
            noted_at,
            [
                LogEnd(consumer, LogPartition(log.cluster_id, name, topic.topic_id, number), offsets.end)
                for consumer, name in sorted(read)
                if (topic := log.topics.get(name)) is not None
                for number, offsets in enumerate(topic.partitions)
                if offsets.start < offsets.end
            ],
        )
