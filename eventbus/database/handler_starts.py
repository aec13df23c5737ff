"""
Where each handler's part of the log begins: from the start, or from where the log ended when the handler was first
seen.
"""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.batches import BatchInsert
from eventbus.database.checkpoints import LogPartition
from eventbus.database.tables import handler_starts

_RECORD: Final = BatchInsert(
    handler_starts, "consumer", "handler", "cluster_id", "topic_id", "partition", "first_offset", or_nothing=True
)


class HandlerStarts:
    """The first offsets of handlers. The first one recorded stays."""

    async def record(
        self, connection: AsyncConnection, consumer: str, log: LogPartition, first_offsets: Mapping[str, int]
    ) -> None:
        """Record the first offset of each handler, by name; a handler that has one keeps it."""
        await _RECORD.execute(
            connection,
            [
                (consumer, handler, log.cluster_id, log.topic_id, log.partition, first_offset)
                for handler, first_offset in first_offsets.items()
            ],
        )

    async def read(self, connection: AsyncConnection, consumer: str, log: LogPartition) -> dict[str, int]:
        """The first offset of each handler that has one in this partition."""
        statement = select(handler_starts.c.handler, handler_starts.c.first_offset).where(
            handler_starts.c.consumer == consumer,
            handler_starts.c.cluster_id == log.cluster_id,
            handler_starts.c.topic_id == log.topic_id,
            handler_starts.c.partition == log.partition,
        )
        return dict((await connection.execute(statement)).all())
