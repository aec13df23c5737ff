"""
Handles the events of one claimed partition in lanes: different keys side by side, one key in order.

A lane       takes some of its works at a time and applies them as a batch is: a transaction of its own, on a connection
             of its own, and around what fails (`batch`). While one lane tries a record again, the others go on
The fence    each lane's transaction holds the checkpoint, which it does not move: a new owner's claim waits for it, and
             after that claim no lane of this one commits anything
Checkpoint   moved by a transaction of its own to the lowest unfinished record, every tenth of a second at most. What
             lanes have committed ahead of it is in the inbox: after a kill it is delivered again, and dropped
Alone        a record that the inbox could not remember (its id cannot be read) is handled when everything before it is
             done, in the transaction that moves the checkpoint behind it
Bounded      so many records are held at most, done ahead of the checkpoint or not; then nothing more is taken
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

import anyio
from anyio.abc import TaskGroup

from eventbus.delivery.batch import Batches
from eventbus.delivery.event_claim import NOT_FAILURES, EventClaim, LaneFence
from eventbus.delivery.incoming import Work
from eventbus.delivery.lanes import Lanes
from eventbus.delivery.subscription import Feed
from eventbus.store import Transactions
from eventbus.transport.port import IncomingRecord

HELD_MAX: Final = 2000
_TAKE_MAX: Final = 500
_ADVANCE_SECONDS: Final = 0.1

Sort = Callable[[EventClaim, Sequence[IncomingRecord]], list[Work]]


class LaneStream:
    """
    One run over a claim.

    sort    what records are to the service's handlers
    turn    what every transaction of a lane needs a place in
    count   how many lanes there are
    """

    def __init__(
        self,
        batches: Batches,
        transactions: Transactions,
        sort: Sort,
        turn: anyio.CapacityLimiter,
        count: int,
        claim: EventClaim,
        feed: Feed,
    ) -> None:
        self._batches = batches
        self._transactions = transactions
        self._sort = sort
        self._turn = turn
        self._claim = claim
        self._feed = feed
        self._lanes: Lanes[Work] = Lanes(count, claim.next_offset)
        self._sorted: list[Work] = []
        """Taken from the feed and in no lane yet, the last one first."""
        self._position = claim.next_offset
        self._busy = 0
        self._advancing = False
        self._advanced_at = time.monotonic()
        self._error: Exception | None = None

    async def run(self) -> None:
        """Until the feed has nothing more and everything is done. Raises as `Subscription.apply` does."""
        async with anyio.create_task_group() as tasks:
            while True:
                if self._error is None and self._feed.is_wanted:
                    await self._fill()
                    self._begin(tasks)
                if self._is_idle():
                    break
                if not self._advancing and self._error is None and self._is_time():
                    self._advancing = True
                    tasks.start_soon(self._advance)
                await self._feed.more.wait(_ADVANCE_SECONDS if self._is_behind() else None)
        if self._error is not None:
            raise self._error

    def _is_idle(self) -> bool:
        if self._busy or self._advancing:
            return False
        return self._error is not None or not self._is_behind()

    def _is_behind(self) -> bool:
        return self._lanes.frontier > self._claim.next_offset

    def _is_time(self) -> bool:
        since = time.monotonic() - self._advanced_at
        return self._is_behind() and (not self._busy or since >= _ADVANCE_SECONDS)

    async def _fill(self) -> None:
        """Gives lanes what the feed has, as far as the order allows."""
        while self._lanes.held < HELD_MAX:
            if not self._sorted:
                records, position = self._feed.take(_TAKE_MAX)
                if position <= self._position:
                    return
                self._sorted = self._sort(self._claim, records)[::-1]
                self._position = position
            while self._sorted:
                work = self._sorted[-1]
                width = _width(work)
                if width == 0:
                    if not await self._alone(work):
                        return
                elif not self._lanes.add(work.record.offset, work.record.key, width, work):
                    return
                self._sorted.pop()
            self._lanes.pass_to(self._position)

    async def _alone(self, work: Work) -> bool:
        """Handles it if everything before it is done; whether it is handled."""
        if self._lanes.unfinished or self._advancing:
            return False
        try:
            await self._batches.apply(self._claim, [work], work.record.offset + 1)
        except Exception as error:
            self._fail(error)
            return False
        self._lanes.pass_to(work.record.offset + 1)
        self._feed.moved()
        return True

    def _begin(self, tasks: TaskGroup) -> None:
        for lane in self._lanes.ready():
            works = self._lanes.take(lane, self._batches.size)
            self._busy += 1
            tasks.start_soon(self._work, lane, works)

    async def _work(self, lane: int, works: Sequence[Work]) -> None:
        fence = LaneFence(
            self._claim, works[0].record.offset, self._turn, lambda below: self._lanes.finish(lane, below)
        )
        try:
            await self._batches.apply(fence, works, works[-1].record.offset + 1)
        except Exception as error:
            # Not a handler's failure: the others finish what they have begun, then the consumer has its say.
            self._fail(error)
        finally:
            self._busy -= 1
            self._feed.more.set()

    async def _advance(self) -> None:
        """Moves the checkpoint to the lowest unfinished record."""
        frontier = self._lanes.frontier
        try:
            async with self._turn, self._claim.transaction(self._transactions, frontier):
                # Nothing but the checkpoint.
                pass
        except Exception as error:
            self._fail(error)
        else:
            self._feed.moved()
        finally:
            self._advancing = False
            self._advanced_at = time.monotonic()
            self._feed.more.set()

    def _fail(self, error: Exception) -> None:
        if self._error is None or not isinstance(self._error, NOT_FAILURES):
            self._error = error


def _width(work: Work) -> int:
    """Among how many lanes the work may be; 0: it has to be alone."""
    if not work.calls or work.message is None:
        return 0
    return min(call.handler.options.concurrency for call in work.calls)
