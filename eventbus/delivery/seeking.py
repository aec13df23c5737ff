"""
Moves a service's consumer to another place in the log, by its checkpoints.

Behind the inbox's horizon a record may have been forgotten, so that it would have its effects a second time: that is
refused, unless it is what is wanted. A record is known to be remembered when it was written since the horizon, by its
own timestamp, with some minutes for clocks that differ; every record that would come again is looked at.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import anyio

from eventbus.database import Checkpoint, Checkpoints, Database, InboxHorizons, LogPartition
from eventbus.delivery.retry_records import is_retry_topic
from eventbus.errors import BrokerUnavailable, ForeignLog, InvalidConfiguration
from eventbus.transport.port import IncomingRecord, OffsetRange, TopicPartition, Transport

_CLOCKS: Final = timedelta(minutes=5)
_SILENCE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where to: an *offset*, the first record since *time*, or with neither the beginning."""

    offset: int | None = None
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Seek:
    """
    A partition's way from its checkpoint to *next_offset*.

    offsets      what the log holds of it
    horizon      before which the inbox has forgotten what was handled
    forgotten    the first record on the way that may have been forgotten, and when it was written; None: none may
    """

    checkpoint: Checkpoint
    next_offset: int
    offsets: OffsetRange
    horizon: datetime | None
    forgotten: tuple[int, datetime] | None


class Seeking:
    """Of one service: its handlers, under its name, and its delay topics, each under its own."""

    def __init__(self, service: str, database: Database, transport: Transport) -> None:
        self._service = service
        self._database = database
        self._transport = transport

    async def plan(self, consumer: str, topic: str, partition: int | None, place: Place) -> list[Seek]:
        """
        What `execute` would do, for one partition or for all of the topic that have a checkpoint. Raises
        InvalidConfiguration for a consumer, a topic or an offset that is not there, ForeignLog, BrokerUnavailable.
        """
        checkpoints, horizon = await self._checkpoints(consumer, topic, partition)
        log = await self._transport.describe([topic])
        found = log.topics.get(topic)
        seeks: list[Seek] = []
        for checkpoint in checkpoints:
            number = checkpoint.log.partition
            if found is None or number >= len(found.partitions):
                raise ForeignLog(f"{topic}-{number} is not in the log of cluster {log.cluster_id}")
            if checkpoint.log != LogPartition(log.cluster_id, topic, found.topic_id, number):
                raise ForeignLog(
                    f"{topic}-{number}: the checkpoint belongs to cluster {checkpoint.log.cluster_id}, topic id "
                    f"{checkpoint.log.topic_id}; the log is cluster {log.cluster_id}, topic id {found.topic_id}"
                )
            offsets = found.partitions[number]
            next_offset = await self._offset(checkpoint, offsets, place)
            forgotten = await self._forgotten(checkpoint, next_offset, offsets, horizon)
            seeks.append(Seek(checkpoint, next_offset, offsets, horizon, forgotten))
        return seeks

    async def execute(self, seeks: Sequence[Seek], *, repeat_effects: bool) -> None:
        """
        All of them or none, in one transaction; who owns the partitions claims them again there. Raises
        InvalidConfiguration when effects would be repeated, or rows have expired since the plan; CheckpointFenced when
        a partition has changed hands since.
        """
        for seek in seeks:
            if seek.forgotten is not None and not repeat_effects:
                raise InvalidConfiguration(refusal(seek, *seek.forgotten))
        async with self._database.transaction() as connection:
            horizon = await InboxHorizons().hold(connection, self._service)
            for seek in seeks:
                if horizon != seek.horizon and not repeat_effects:
                    raise InvalidConfiguration(
                        f"rows of the inbox have expired meanwhile, what was handled before {horizon}: try again"
                    )
                await Checkpoints().seek(connection, seek.checkpoint, seek.next_offset)

    async def _checkpoints(
        self, consumer: str, topic: str, partition: int | None
    ) -> tuple[list[Checkpoint], datetime | None]:
        async with self._database.reading() as connection:
            every = await Checkpoints().list(connection)
            horizons = await InboxHorizons().list(connection)
        if consumer != self._service and not is_retry_topic(self._service, consumer):
            if any(one.consumer == consumer for one in every):
                raise InvalidConfiguration(
                    f"{consumer} is a projection: build it anew, `eventbus projections rebuild {consumer}`."
                )
            there = sorted({one.consumer for one in every if one.generation == 0})
            raise InvalidConfiguration(f"There is no consumer {consumer}; there is {', '.join(there) or 'none yet'}.")
        topics = sorted({one.log.topic for one in every if one.consumer == consumer})
        if topic not in topics:
            raise InvalidConfiguration(f"{consumer} has no checkpoint in {topic}; in {', '.join(topics) or 'none'}.")
        found = [one for one in every if (one.consumer, one.log.topic) == (consumer, topic)]
        chosen = [one for one in found if partition in (None, one.log.partition)]
        if not chosen:
            raise InvalidConfiguration(
                f"{consumer} has no checkpoint in {topic}-{partition}; in partitions "
                f"{', '.join(str(one.log.partition) for one in found)}."
            )
        return chosen, horizons.get(self._service)

    async def _offset(self, checkpoint: Checkpoint, offsets: OffsetRange, place: Place) -> int:
        name = f"{checkpoint.log.topic}-{checkpoint.log.partition}"
        if place.offset is not None:
            if not offsets.start <= place.offset <= offsets.end:
                raise InvalidConfiguration(
                    f"{name}: {place.offset} is outside of the log, which has {offsets.start} to {offsets.end}."
                )
            return place.offset
        if place.time is None:
            return offsets.start
        # Timestamps are in the order of the offsets, nearly: what that leaves open, the look at each record finds.
        low, high = offsets.start, offsets.end
        while low < high:
            middle = (low + high) // 2
            async with aclosing(self._records(checkpoint.log, middle, high)) as records:
                record = await anext(records, None)
            if record is None or record.written_at >= place.time:
                high = middle
            else:
                low = record.offset + 1
        return low

    async def _forgotten(
        self, checkpoint: Checkpoint, next_offset: int, offsets: OffsetRange, horizon: datetime | None
    ) -> tuple[int, datetime] | None:
        # Without an offset the owner has begun nowhere: lanes may have handled some of what is there.
        handled = offsets.end if checkpoint.next_offset is None else min(checkpoint.next_offset, offsets.end)
        if horizon is None or next_offset >= handled:
            return None
        async with aclosing(self._records(checkpoint.log, next_offset, handled)) as records:
            async for record in records:
                if record.written_at < horizon + _CLOCKS:
                    return record.offset, record.written_at
        return None

    async def _records(self, log: LogPartition, start: int, end: int) -> AsyncGenerator[IncomingRecord]:
        """Those of the partition from *start* up to but not including *end*. Raises BrokerUnavailable."""
        reader = self._transport.reader({TopicPartition(log.topic, log.partition): start})
        try:
            position, deadline = start, anyio.current_time() + _SILENCE_SECONDS
            while position < end:
                for batch in await reader.read():
                    for record in batch.records:
                        if record.offset >= end:
                            return
                        if record.offset >= start:
                            yield record
                    position, deadline = batch.next_offset, anyio.current_time() + _SILENCE_SECONDS
                if anyio.current_time() > deadline:
                    raise BrokerUnavailable(
                        f"{log.topic}-{log.partition}: nothing to read at offset {position} of {end} for "
                        f"{_SILENCE_SECONDS:.0f} s"
                    )
        finally:
            with anyio.CancelScope(shield=True):
                await reader.aclose()


def refusal(seek: Seek, offset: int, written: datetime) -> str:
    """Why not, and the way out."""
    log = seek.checkpoint.log
    return (
        f"{log.topic}-{log.partition}: the record at offset {offset} was written at {written:%Y-%m-%dT%H:%M:%SZ}, and "
        f"the inbox has forgotten what was handled before {seek.horizon:%Y-%m-%dT%H:%M:%SZ}: from there on handlers "
        "may have their effects a second time. Seek to a later place, or say --repeat-effects if that is what you want."
    )
