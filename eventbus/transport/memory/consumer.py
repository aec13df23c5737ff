"""Reading a log in memory as a member of a group."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

from eventbus.transport.memory.groups import Group, Member
from eventbus.transport.memory.log import MemoryLog
from eventbus.transport.memory.waiter import Waiter
from eventbus.transport.port import PartitionBatch, Revoked, Round, TopicPartition

RECORDS_MAX: Final = 1000
"""Records of one round."""

_GROUP_ONLY_SECONDS: Final = 1.0


class MemoryConsumer:
    """A `RecordConsumer` of a log in memory. A static member leaves at once, too: in one process nobody restarts it."""

    def __init__(
        self, log: MemoryLog, group_id: str, topics: Sequence[str], *, instance_id: str | None, revoked: Revoked
    ) -> None:
        self._log = log
        self._group_id = group_id
        self._topics = frozenset(topics)
        self._instance_id = instance_id
        self._revoked = revoked
        self._under_way: asyncio.Task[Round] | None = None
        self._joined: tuple[Group, Member] | None = None
        self._positions: dict[TopicPartition, tuple[int, int]] = {}
        """What is being read: the position, and the number of the `read_from` that began it."""
        self._number = 0
        self._assignment_is_news = False
        self._doubtful = False

    async def receive(self, *, records: bool = True) -> Round:
        if self._under_way is None:
            group, member = self._joined or self._join()
            self._under_way = asyncio.create_task(self._round(group, member, records), name=f"round {self._group_id}")
        found = await asyncio.shield(self._under_way)
        self._under_way = None
        return found

    def read_from(self, offsets: Mapping[TopicPartition, int]) -> int:
        self._number += 1
        if self._joined is not None:
            _, member = self._joined
            mine = {place: (offset, self._number) for place, offset in offsets.items() if place in member.owned}
            self._positions |= mine
            member.waiter.wake()
        return self._number

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self._joined is not None:
            self._log.store_offsets(*self._joined, offsets)

    async def aclose(self) -> None:
        if self._under_way is not None:
            self._under_way.cancel()
            # Nobody asks for this round any more, also not for how it may have failed.
            await asyncio.wait([self._under_way])
            if not self._under_way.cancelled():
                self._under_way.exception()
        if self._joined is None:
            return
        (group, member), self._joined = self._joined, None
        if member.owned and not member.fenced:
            await self._revoked(member.owned)
        self._log.leave(group, member)
        self._log.unwatch(member.waiter)

    def _join(self) -> tuple[Group, Member]:
        member = Member(self._topics, self._instance_id, Waiter())
        self._log.watch(member.waiter)
        self._joined = (self._log.join(self._group_id, member), member)
        return self._joined

    async def _round(self, group: Group, member: Member, records: bool) -> Round:
        deadline = time.monotonic() + _GROUP_ONLY_SECONDS
        while True:
            if self._log.away_seconds is not None:
                self._doubtful = True
            else:
                await self._take_part(group, member)
                batches = self._batches() if records else []
                if batches or self._doubtful or self._assignment_is_news:
                    return self._take(member, batches)
            left = deadline - time.monotonic()
            if not records and left <= 0:
                return Round(None, False, ())
            await member.waiter.wait(None if records else left)

    async def _take_part(self, group: Group, member: Member) -> None:
        """Gives up what others are to have, then takes what is free."""
        if given_up := self._log.to_give_up(group, member):
            await self._revoked(given_up)
            for place in given_up:
                self._positions.pop(place, None)
            self._log.give_up(member, given_up)
            self._assignment_is_news = True
        if self._log.grant(group, member):
            self._assignment_is_news = True

    def _take(self, member: Member, batches: Sequence[PartitionBatch]) -> Round:
        found = Round(member.owned if self._assignment_is_news else None, self._doubtful, batches)
        self._assignment_is_news = False
        self._doubtful = False
        return found

    def _batches(self) -> list[PartitionBatch]:
        left = RECORDS_MAX
        batches: list[PartitionBatch] = []
        for place, (position, number) in list(self._positions.items()):
            found = self._log.read(place, position, left)
            if found is None:
                # Whoever compares the log with its checkpoint finds words for it.
                self._doubtful = True
                del self._positions[place]
                continue
            records, next_offset = found
            if next_offset == position:
                continue
            batches.append(PartitionBatch(place.topic, place.partition, records, next_offset, number))
            # To the end of the line: the next round begins with those that had to wait.
            del self._positions[place]
            self._positions[place] = (next_offset, number)
            left -= len(records)
            if left <= 0:
                break
        return batches
