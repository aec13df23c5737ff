"""Writing to a log in memory, with and without transactions."""

import asyncio
from collections.abc import Sequence

from eventbus.errors import BrokerUnavailable
from eventbus.transport.memory.log import MemoryLog
from eventbus.transport.memory.waiter import Waiter
from eventbus.transport.port import OutgoingRecord, ProducerFenced, PublishOutcome


class _Turns:
    """Lets one call at a time through, in the order of the calls, while the log is there and this is not closed."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._waiter = Waiter()
        self._turn = asyncio.Lock()
        self._closed = False
        log.watch(self._waiter)

    async def __aenter__(self) -> None:
        """Raises BrokerUnavailable when it is closed before the log is there."""
        await self._turn.acquire()
        try:
            await asyncio.sleep(0)
            while self._log.away_seconds is not None and not self._closed:
                await self._waiter.wait()
            if self._closed:
                raise BrokerUnavailable("given up before the log had answered")
        except BaseException:
            self._turn.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._turn.release()

    def close(self) -> None:
        self._closed = True
        self._waiter.wake()
        self._log.unwatch(self._waiter)


class MemoryProducer:
    """A `RecordProducer` of a log in memory."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._turns = _Turns(log)

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[PublishOutcome]:
        try:
            async with self._turns:
                return [*self._log.append(records)]
        except BrokerUnavailable as error:
            return [error] * len(records)

    async def aclose(self) -> None:
        self._turns.close()


class MemoryTransactionalProducer:
    """A `TransactionalProducer` of a log in memory: a transaction is written and committed in one step."""

    def __init__(self, log: MemoryLog, transactional_id: str) -> None:
        self._log = log
        self._transactional_id = transactional_id
        self._turns = _Turns(log)
        self._producer_epoch: int | None = None

    async def take_over(self) -> None:
        async with self._turns:
            self._producer_epoch = self._log.take_over(self._transactional_id)

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[PublishOutcome]:
        if self._producer_epoch is None:
            raise ProducerFenced(f"transactional id {self._transactional_id!r} has not been taken over yet")
        try:
            async with self._turns:
                return [*self._log.commit(self._transactional_id, self._producer_epoch, records)]
        except BrokerUnavailable as error:
            return [error] * len(records)

    async def aclose(self) -> None:
        self._turns.close()
