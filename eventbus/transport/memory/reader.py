"""Reading chosen partitions of a log in memory without a group."""

import asyncio
import time
from collections.abc import Mapping

from eventbus.errors import ForeignLog
from eventbus.transport.memory.log import MemoryLog
from eventbus.transport.memory.waiter import Waiter
from eventbus.transport.port import PartitionBatch, TopicPartition


class MemoryReader:
    """A `RecordReader` of a log in memory."""

    def __init__(self, log: MemoryLog, offsets: Mapping[TopicPartition, int]) -> None:
        self._log = log
        self._positions = dict(offsets)
        self._waiter = Waiter()
        log.watch(self._waiter)

    async def read(self, *, records_max: int = 1000, seconds: float = 1.0) -> list[PartitionBatch]:
        await asyncio.sleep(0)
        deadline = time.monotonic() + seconds
        while True:
            if self._log.away_seconds is None and (batches := self._batches(records_max)):
                return batches
            if (left := deadline - time.monotonic()) <= 0:
                return []
            await self._waiter.wait(left)

    async def aclose(self) -> None:
        self._log.unwatch(self._waiter)

    def _batches(self, records_max: int) -> list[PartitionBatch]:
        batches: list[PartitionBatch] = []
        for place, position in list(self._positions.items()):
            found = self._log.read(place, position, records_max)
            if found is None:
                raise ForeignLog(
                    f"topic {place.topic!r} partition {place.partition} cannot be read from where it was to be "
                    f"(offset {position}): it is not in the log {self._log.address}; begin again from the log's start"
                )
            records, next_offset = found
            if next_offset == position:
                continue
            batches.append(PartitionBatch(place.topic, place.partition, records, next_offset))
            # To the end of the line: the next round begins with those that had to wait.
            del self._positions[place]
            self._positions[place] = next_offset
            records_max -= len(records)
            if records_max <= 0:
                break
        return batches
