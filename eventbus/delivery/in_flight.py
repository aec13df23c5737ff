"""The batches and streams that a consumer has begun and that have not ended."""

from collections.abc import Sequence

import anyio

from eventbus.delivery.partition_queue import PartitionQueue


class InFlight:
    """
    One a queue at most.

    shutdown_seconds   how long what is to be given up may take before it is abandoned
    """

    def __init__(self, shutdown_seconds: float) -> None:
        self._shutdown_seconds = shutdown_seconds
        self._ended = anyio.Event()
        self.count = 0

    def begin(self, queue: PartitionQueue) -> anyio.CancelScope:
        """The queue is busy from here on; what is done is to be done in the scope."""
        queue.in_flight = anyio.CancelScope()
        self.count += 1
        return queue.in_flight

    def end(self, queue: PartitionQueue) -> None:
        """The queue is free again."""
        queue.in_flight = None
        self.count -= 1
        ended, self._ended = self._ended, anyio.Event()
        ended.set()

    async def settle(self, queues: Sequence[PartitionQueue]) -> None:
        """Waits for what is in flight in these queues; what takes too long is abandoned."""
        with anyio.move_on_after(self._shutdown_seconds):
            await self._all_ended(queues)
            return
        for queue in queues:
            if queue.in_flight is not None:
                queue.in_flight.cancel()
        await self._all_ended(queues)

    async def _all_ended(self, queues: Sequence[PartitionQueue]) -> None:
        while any(queue.in_flight is not None for queue in queues):
            await self._ended.wait()
