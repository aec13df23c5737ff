"""
Drives one subscription: group membership and polling on one side, claims and batches on the other.

Tasks
    the poller      receives rounds and sorts their records into queues, one a partition. It goes on while handlers
                    work, retry or wait for the database: with full queues it stops asking for records, and attends to
                    the group only
    the dispatcher  claims what was assigned, then begins a batch (or a stream) for each queue that is ready, as many
                    at a time as `partitions_max` says
    the watch       compares the log's identity and the checkpoints' epochs every few seconds (see `watch`)
Sharing     the group gives and takes partitions one by one: those that stay are worked on meanwhile
Doubt       after a lost connection or an odd answer everything is claimed again before more is applied, after a fence
            that partition: the log's identity is compared, and reading begins at the checkpoint. What waited is dropped
Ending      a ForeignLog, or a group that refuses this member, ends this consumer, with its words in the log and in
            `status`; nothing else makes it end but `stop`
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import cast

import anyio
from anyio.abc import TaskGroup, TaskStatus

from eventbus.delivery.backoff import Backoff
from eventbus.delivery.claiming import Claiming
from eventbus.delivery.consumer_status import Condition, ConsumerStatus, PartitionStatus
from eventbus.delivery.in_flight import InFlight
from eventbus.delivery.partition_queue import PartitionQueue
from eventbus.delivery.queue_feed import QueueFeed
from eventbus.delivery.read_ahead import READ_AHEAD_BYTES, READ_AHEAD_RECORDS, ReadAhead
from eventbus.delivery.subscription import C, Claim, Streamed, Subscription
from eventbus.delivery.wakeup import Wakeup
from eventbus.delivery.watch import WATCH_SECONDS, Watch
from eventbus.errors import BrokerUnavailable, CheckpointFenced, DatabaseUnavailable, ForeignLog
from eventbus.observability import consumed, processed
from eventbus.transport.port import ConsumerStopped, RecordConsumer, Round, TopicPartition, Transport

_log = logging.getLogger("eventbus.delivery")

_TURN_SECONDS = 1.0
"""How long a stream goes on while other partitions wait."""


class Consumer:
    """
    Delivers the records of a subscription's topics to it, until `stop`.

    instance_id       a static member's name; None: a dynamic member
    streamed          given: partitions are handed to its `stream`, and not batch by batch to the subscription's `apply`
    fenced            given: says which of its claims others have taken over, or moved
    claimed           called after each assignment whose partitions have all been claimed
    batch_max         records that `apply` is given at once at most
    batch_size        given: asked before each batch how many they are to be instead
    partitions_max    partitions that are worked on at the same time
    waiting_max       records that are read ahead at most, in all queues
    waiting_bytes_max their bytes at most
    shutdown_seconds  how long `stop` and a rebalance wait for batches in flight before they are abandoned
    """

    def __init__(
        self,
        transport: Transport,
        subscription: Subscription[C],
        *,
        streamed: Streamed[C] | None = None,
        fenced: Callable[[Sequence[C]], Awaitable[Sequence[C]]] | None = None,
        instance_id: str | None = None,
        claimed: Callable[[], None] | None = None,
        batch_max: int = 500,
        batch_size: Callable[[], int] | None = None,
        partitions_max: int = 4,
        waiting_max: int = READ_AHEAD_RECORDS,
        waiting_bytes_max: int = READ_AHEAD_BYTES,
        shutdown_seconds: float = 10.0,
    ) -> None:
        self._transport = transport
        # Every claim that it is given comes from itself, so its own kind of claim need not be known here.
        self._subscription = cast("Subscription[Claim]", subscription)
        self._streamed = cast("Streamed[Claim] | None", streamed)
        self._claims = Claiming(self._subscription, transport)
        self._watched = Watch(
            subscription.name,
            subscription.topics,
            transport,
            cast("Callable[[Sequence[Claim]], Awaitable[Sequence[Claim]]] | None", fenced),
        )
        self._instance_id = instance_id
        self._claimed = claimed
        self._batch_size = batch_size or (lambda: batch_max)
        self._partitions_max = partitions_max
        self._read_ahead = ReadAhead(waiting_max, waiting_bytes_max)
        self._member: RecordConsumer | None = None
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._queues: dict[TopicPartition, PartitionQueue] = {}
        self._claiming = False
        self._doubts = 0
        self._fences = Backoff(0.1, 5.0)
        self._dispatch = Wakeup()
        self._drained = Wakeup()
        self._in_flight = InFlight(shutdown_seconds)
        self._stopping = False
        self._ended = anyio.Event()
        self._condition = Condition(subscription.name)

    def status(self) -> ConsumerStatus:
        """What it is doing now."""
        state, reason = self._condition.state, self._condition.reason
        if state != "stopped" and (away := self._transport.away_seconds) is not None:
            state, reason = "waiting for the broker", f"the broker has been away for {away:.0f} s"
        return ConsumerStatus(
            self._subscription.name,
            self._subscription.group_id,
            state,
            reason,
            tuple(
                PartitionStatus(*one.partition, one.claim.next_offset, len(one.waiting))
                for one in sorted(self._queues.values(), key=lambda queue: queue.partition)
            ),
        )

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Delivers until `stop`, or until it cannot go on (see `status`); started when it is polling. Never raises."""
        self._member = self._transport.consumer(
            self._subscription.group_id,
            self._subscription.topics,
            instance_id=self._instance_id,
            revoked=self._give_up,
        )
        task_status.started()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._poll, self._member)
                tasks.start_soon(self._watch)
                await self._work(self._member, tasks)
                await self._in_flight.settle(list(self._queues.values()))
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._release(self._queues)
                await self._member.aclose()
            self._condition.state = "stopped"
            self._ended.set()

    async def stop(self) -> None:
        """Ends `run`: batches in flight are finished or, after `shutdown_seconds`, abandoned; offsets are stored."""
        self._stopping = True
        self._wake()
        if self._member is not None:
            await self._ended.wait()

    # The poller.

    async def _poll(self, member: RecordConsumer) -> None:
        while not self._stopping:
            # Handlers are mostly done with something within a second, and librdkafka's pause costs what it has read
            # ahead: so wait first.
            with anyio.move_on_after(1.0):
                while self._is_full():
                    await self._drained.wait()
            try:
                self._sort(await member.receive(records=not self._is_full()))
            except ConsumerStopped as error:
                self._end(str(error))
                return
            except Exception as error:
                _log.exception("consumer %s: polling failed", self._subscription.name)
                self._end(f"polling failed: {type(error).__name__}: {error}; start the service again")
                return

    def _is_full(self) -> bool:
        return not self._stopping and self._read_ahead.is_full(self._queues.values())

    def _sort(self, found: Round) -> None:
        if found.assigned is not None:
            self._assigned = found.assigned
            if not found.assigned and self._condition.state == "starting":
                # More members than partitions: this one stands by.
                self._condition.runs()
        if found.doubtful:
            self._doubts += 1
            self._doubt(self._queues.values())
        for batch in found.batches:
            queue = self._queues.get(TopicPartition(batch.topic, batch.partition))
            if queue is not None and queue.reading == batch.reading:
                queue.add(batch)
        self._dispatch.set()

    def _unclaimed(self) -> frozenset[TopicPartition]:
        """What is assigned and not claimed, or has to be claimed again."""
        if self._stopping:
            return frozenset()
        sure = {partition for partition, queue in self._queues.items() if queue.reading is not None}
        return self._assigned - sure

    def _doubt(self, queues: Iterable[PartitionQueue]) -> None:
        """Nothing that has been read for these is applied any more, until they have been claimed again."""
        for queue in queues:
            queue.doubt()
        self._drained.set()
        self._dispatch.set()

    async def _give_up(self, partitions: frozenset[TopicPartition]) -> None:
        """The group takes partitions away: what is in flight on them is finished, or abandoned."""
        self._assigned -= partitions
        queues = {partition: self._queues[partition] for partition in partitions if partition in self._queues}
        self._doubt(queues.values())
        await self._in_flight.settle(list(queues.values()))
        await self._release(queues)

    # The dispatcher.

    async def _work(self, member: RecordConsumer, tasks: TaskGroup) -> None:
        while not self._stopping:
            await self._dispatch.wait()
            if not self._claiming and self._unclaimed():
                # Beside the partitions that stay: those are worked on meanwhile.
                self._claiming = True
                tasks.start_soon(self._claim, member)
            if not self._stopping:
                self._begin_batches(member, tasks)

    def _begin_batches(self, member: RecordConsumer, tasks: TaskGroup) -> None:
        for partition, queue in list(self._queues.items()):
            if self._in_flight.count < self._partitions_max and queue.is_ready():
                # To the end of the line: a busy partition must not keep the ones behind it waiting for ever.
                self._queues[partition] = self._queues.pop(partition)
                # Begun here, so that the queue is busy before its task has run.
                tasks.start_soon(self._batch, member, queue, self._in_flight.begin(queue))

    async def _batch(self, member: RecordConsumer, queue: PartitionQueue, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                begun = time.monotonic()
                streamed = self._streamed
                if streamed is None:
                    records = await self._apply_batch(queue)
                else:
                    records = await self._apply_stream(streamed, member, queue)
                processed(queue.partition.topic, self._subscription.group_id, records, time.monotonic() - begun)
                queue.done()
                member.commit({queue.partition: queue.claim.next_offset})
        finally:
            self._in_flight.end(queue)
            self._drained.set()
            self._dispatch.set()

    async def _apply_batch(self, queue: PartitionQueue) -> int:
        """How many records there were."""
        records, next_offset = queue.take(self._batch_size())
        consumed(queue.partition.topic, self._subscription.group_id, len(records))

        async def apply() -> None:
            done = queue.claim.next_offset
            left = (
                records if not records or records[0].offset >= done else [one for one in records if one.offset >= done]
            )
            await self._subscription.apply(queue.claim, left, next_offset)

        await self._apply(queue, apply)
        return len(records)

    async def _apply_stream(self, streamed: Streamed[Claim], member: RecordConsumer, queue: PartitionQueue) -> int:
        """How many records there were."""
        turn_ends = time.monotonic() + _TURN_SECONDS
        records = 0

        def goes_on() -> bool:
            is_room = self._in_flight.count < self._partitions_max
            return time.monotonic() < turn_ends or is_room or not any(one.is_ready() for one in self._queues.values())

        def progress() -> None:
            member.commit({queue.partition: queue.claim.next_offset})
            self._drained.set()

        async def stream() -> None:
            nonlocal records
            feed = QueueFeed(
                queue,
                self._subscription.group_id,
                wanted=lambda: self._is_ours(queue),
                goes_on=goes_on,
                progress=progress,
            )
            try:
                await streamed.stream(queue.claim, feed)
            finally:
                records += feed.records

        await self._apply(queue, stream)
        return records

    def _is_ours(self, queue: PartitionQueue) -> bool:
        return not self._stopping and queue.reading is not None and self._queues.get(queue.partition) is queue

    async def _apply(self, queue: PartitionQueue, work: Callable[[], Awaitable[None]]) -> None:
        """Does it, again and again while the database is away; returns early when the partition is not ours."""
        pauses = Backoff(0.1, 5.0)
        while True:
            try:
                await work()
            except DatabaseUnavailable as error:
                self._condition.waits_for_database(error)
            except CheckpointFenced as error:
                _log.info("consumer %s: %s; claiming again", self._subscription.name, error)
                # Two members that both believe to be the owner must not take turns at full speed.
                await anyio.sleep(self._fences.next())
                self._doubt([queue])
                return
            except ForeignLog as error:
                self._end(str(error))
                return
            except Exception:
                # Not a handler's failure, which the subscription deals with: a fault that must not skip records.
                _log.exception(
                    "consumer %s: a batch of %s-%d from offset %d failed, trying again",
                    self._subscription.name,
                    *queue.partition,
                    queue.claim.next_offset,
                )
            else:
                self._fences.reset()
                self._condition.runs()
                return
            await anyio.sleep(pauses.next())
            if not self._is_ours(queue):
                return

    async def _watch(self) -> None:
        while not self._stopping:
            await anyio.sleep(WATCH_SECONDS)
            claims = [queue.claim for queue in self._queues.values() if queue.reading is not None]
            lost = {id(claim) for claim in await self._watched.lost(claims)}
            self._doubt([queue for queue in self._queues.values() if id(queue.claim) in lost])

    async def _claim(self, member: RecordConsumer) -> None:
        """Claims what is assigned and not claimed, until nothing is left to claim, and begins to read it."""
        pauses = Backoff(0.1, 2.0)
        try:
            while wanted := self._unclaimed():
                doubtful = {partition: queue for partition, queue in self._queues.items() if queue.reading is None}
                await self._in_flight.settle(list(doubtful.values()))
                await self._release(doubtful)
                if not await self._claim_these(member, wanted):
                    await anyio.sleep(pauses.next())
            if self._claimed is not None:
                self._claimed()
        except ForeignLog as error:
            self._end(str(error))
        finally:
            self._claiming = False
            self._dispatch.set()

    async def _claim_these(self, member: RecordConsumer, wanted: frozenset[TopicPartition]) -> bool:
        """False when it has to be tried again. Raises ForeignLog."""
        doubts = self._doubts
        try:
            log, claims = await self._claims.claim(wanted)
        except BrokerUnavailable:
            # Said by the transport.
            return False
        except DatabaseUnavailable as error:
            self._condition.waits_for_database(error)
            return False
        except ForeignLog:
            raise
        except Exception as error:
            self._condition.cannot_claim(error)
            return False
        if doubts != self._doubts:
            return False
        # What the group has taken away meanwhile is its next owner's.
        mine = {partition: claim for partition, claim in claims.items() if partition in self._assigned}
        number = member.read_from({partition: claim.next_offset for partition, claim in mine.items()})
        self._queues |= {partition: PartitionQueue(partition, claim, number) for partition, claim in mine.items()}
        self._condition.runs()
        self._claims.say_where(log, mine)
        return True

    def _end(self, reason: str) -> None:
        if self._stopping:
            return
        self._condition.ends(reason)
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        self._dispatch.set()
        self._drained.set()
        for queue in self._queues.values():
            queue.more.set()

    async def _release(self, queues: dict[TopicPartition, PartitionQueue]) -> None:
        for partition, queue in list(queues.items()):
            if self._queues.get(partition) is queue:
                del self._queues[partition]
            with suppress(Exception):
                await self._subscription.release(queue.claim)
