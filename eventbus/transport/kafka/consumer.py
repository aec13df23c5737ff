"""
Reading as a member of a group: librdkafka's Consumer, used by one thread only.

Rounds      `receive` lets the thread poll until there is something, drains what else has come, and wakes the loop once
Where from  an assignment starts empty: the partitions are handed out as news, and reading begins when `read_from`
            says where. So neither the group's offsets nor a reset rule decide anything
Sharing     partitions come and go one by one (cooperative): those that stay are read on during a rebalance
Requests    `read_from` and `commit` are noted on the loop and done by the thread: `read_from` before its next poll, and
            every batch bears the number of the request that began it; commits of a second together
Giving up   the revocation callback waits in the thread, for a bounded time, until the loop has finished with the
            partitions. Their effects are fenced in the database, so going on without is safe, only wasteful
Names       a static member asks once whether its predecessor has left partitions to nobody
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from eventbus.config import GroupProtocol
from eventbus.transport.kafka.batches import split
from eventbus.transport.kafka.connection import Connection
from eventbus.transport.kafka.inheritance import Inheritance, LeftOver
from eventbus.transport.kafka.options import describe, member_options
from eventbus.transport.port import ConsumerStopped, PartitionBatch, Revoked, Round, TopicPartition
from eventbus.transport.thread import CallThread

_log = logging.getLogger("eventbus.transport")

RECORDS_MAX = 1000
"""Records of one round."""

_WAIT_SECONDS = 0.1
_WAIT_FOR_REQUESTS_SECONDS = 0.02
_GROUP_ONLY_SECONDS = 1.0
# Only consoles and monitors read them: on a cluster each commit is a write to three disks.
_COMMIT_SECONDS = 1.0
_GIVE_UP_SECONDS = 20.0
_FATAL = frozenset(
    {
        KafkaError._FATAL,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.INVALID_GROUP_ID,
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError._AUTHENTICATION,
    }
)
# The only sign of it that gets through: librdkafka calls it fatal, and that is the code that it gives.
_UNRELEASED = KafkaError(KafkaError.UNRELEASED_INSTANCE_ID).str()
_UNRELEASED_PAUSE_SECONDS = (0.5, 5.0)
# One lost connection is no doubt: of a cluster with a dead node it would be reported four times a second.
_DOUBTFUL = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,
    }
)


class KafkaConsumer:
    """A `RecordConsumer` over librdkafka."""

    def __init__(
        self,
        shared: Mapping[str, str | int],
        group_id: str,
        topics: Sequence[str],
        *,
        instance_id: str | None,
        protocol: GroupProtocol,
        revoked: Revoked,
        left_over: LeftOver,
        connection: Connection,
        logger: logging.Logger,
    ) -> None:
        self._options = member_options(shared, group_id, instance_id, protocol)
        self._group_id = group_id
        self._instance_id = instance_id
        self._is_classic = protocol == "classic"
        self._topics = list(topics)
        self._revoked = revoked
        self._left_over = left_over
        self._connection = connection
        self._logger = logger
        self._thread = CallThread(f"eventbus-consumer-{group_id}")
        self._under_way: asyncio.Future[Round] | None = None
        self._closing = threading.Event()
        self._number = 0
        # Noted by the loop, taken by the thread.
        self._read_from: deque[tuple[int, Mapping[TopicPartition, int]]] = deque()
        self._commits: dict[TopicPartition, int] = {}
        self._commits_lock = threading.Lock()
        # From here on: the thread's own.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._consumer: Consumer | None = None
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._assignment_is_news = False
        self._reading: dict[TopicPartition, int] = {}
        self._paused = False
        self._doubtful = False
        self._is_lost = False
        self._inheritance: Inheritance | None = None
        self._reopen_at = 0.0
        self._commit_at = 0.0
        self._reopen_pause = 0.0

    async def receive(self, *, records: bool = True) -> Round:
        if self._under_way is None:
            self._loop = asyncio.get_running_loop()
            self._under_way = self._thread.submit(lambda: self._round(records))
        found = await asyncio.shield(self._under_way)
        self._under_way = None
        return found

    def read_from(self, offsets: Mapping[TopicPartition, int]) -> int:
        self._number += 1
        self._read_from.append((self._number, dict(offsets)))
        return self._number

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        with self._commits_lock:
            self._commits.update(offsets)

    async def aclose(self) -> None:
        if self._closing.is_set():
            return
        self._closing.set()
        self._loop = asyncio.get_running_loop()
        if self._under_way is not None:
            # Nobody asks for this round any more, also not for how it may have failed.
            self._under_way.add_done_callback(lambda found: found.cancelled() or found.exception())
        closed = self._thread.submit(self._close)
        if not await self._thread.aclose():
            _log.warning("consumer %s: librdkafka did not let go in time, its thread is left behind", self._group_id)
            return
        # The thread has ended; its answer may still be on the way through the loop.
        await asyncio.wait([closed])
        if (error := closed.exception()) is not None:
            _log.warning("consumer %s: closing failed: %s", self._group_id, error)

    # In the thread.

    def _open(self) -> Consumer:
        options = {**self._options, "error_cb": self._on_error}
        consumer = Consumer(options, logger=self._logger)
        self._subscribe(consumer)
        self._consumer = consumer
        if self._is_classic and self._instance_id is not None:
            self._inherit(Inheritance(self._group_id, self._topics, self._left_over))
        return consumer

    def _subscribe(self, consumer: Consumer) -> None:
        consumer.subscribe(self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def _inherit(self, inheritance: Inheritance | None) -> None:
        if self._inheritance is not None:
            self._inheritance.end()
        self._inheritance = inheritance

    def _round(self, records: bool) -> Round:
        deadline = time.monotonic() + _GROUP_ONLY_SECONDS
        while self._consumer is None and time.monotonic() < self._reopen_at:
            if self._closing.wait(_WAIT_SECONDS) or time.monotonic() > deadline:
                return self._take([])
        consumer = self._consumer or self._open()
        self._pause(consumer, not records)
        while not self._closing.is_set():
            self._do_requests(consumer)
            # A request cannot interrupt a poll, so polls are short while one is to be expected.
            wait = _WAIT_SECONDS if self._reading and records else _WAIT_FOR_REQUESTS_SECONDS
            messages: list[Message] = []
            first = consumer.poll(wait)
            if first is not None:
                messages.append(first)
                messages += consumer.consume(RECORDS_MAX - 1, 0)
            batches, errors = split(messages)
            for error, _ in errors:
                if error.code() == KafkaError._FATAL and _UNRELEASED in error.str():
                    self._reopen_later(consumer)
                    return self._take([])
                self._judge(error)
            if self._is_lost:
                self._begin_anew(consumer)
            elif self._inheritance is not None and self._inheritance.is_incomplete:
                # Also a static member is taken out of its group when it ends its subscription.
                self._inherit(None)
                consumer.unsubscribe()
                self._subscribe(consumer)
            if batches or self._doubtful or self._assignment_is_news:
                return self._take(batches)
            if not records and time.monotonic() > deadline:
                break
        return self._take([])

    def _reopen_later(self, consumer: Consumer) -> None:
        """A predecessor of this name was killed, and its session lasts: librdkafka gives up for good, so begin anew."""
        shortest, longest = _UNRELEASED_PAUSE_SECONDS
        if not self._reopen_pause:
            _log.warning(
                "consumer %s: instance %r is another process's until its session ends; waiting for it",
                self._group_id,
                self._instance_id,
            )
        self._reopen_pause = min(max(shortest, self._reopen_pause * 2), longest)
        self._reopen_at = time.monotonic() + self._reopen_pause
        self._begin_anew(consumer)

    def _begin_anew(self, consumer: Consumer) -> None:
        """Closes this client; the next round opens another."""
        self._is_lost = False
        self._consumer = None
        consumer.close()

    def _take(self, batches: Sequence[PartitionBatch]) -> Round:
        assigned = self._assigned if self._assignment_is_news else None
        mine = [
            replace(batch, reading=number)
            for batch in batches
            if (number := self._reading.get(TopicPartition(batch.topic, batch.partition))) is not None
        ]
        found = Round(assigned, self._doubtful, mine)
        self._assignment_is_news = False
        self._doubtful = False
        return found

    def _do_requests(self, consumer: Consumer) -> None:
        while self._read_from and self._begin(consumer, *self._read_from[0]):
            self._read_from.popleft()
        now = time.monotonic()
        if now >= self._commit_at and (commits := self._take_commits(self._assigned)):
            self._commit_at = now + _COMMIT_SECONDS
            self._commit(consumer, commits, wait=False)

    def _take_commits(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        if not self._commits:
            return {}
        with self._commits_lock:
            return {partition: self._commits.pop(partition) for partition in partitions if partition in self._commits}

    def _begin(self, consumer: Consumer, number: int, offsets: Mapping[TopicPartition, int]) -> bool:
        """Reads these partitions from these offsets; False while librdkafka is in the middle of a rebalance."""
        mine = {partition: offset for partition, offset in offsets.items() if partition in self._assigned}
        if not mine:
            return True
        places = [KafkaPartition(at.topic, at.partition, offset) for at, offset in mine.items()]
        try:
            if not self._reading.keys().isdisjoint(mine):
                self._stop_reading(consumer, mine)
            consumer.incremental_assign(places)
        except KafkaException as raised:
            _log.debug("consumer %s: not yet: %s", self._group_id, describe(raised.args[0]))
            return False
        self._reading |= dict.fromkeys(mine, number)
        if self._paused:
            consumer.pause(places)
        return True

    def _stop_reading(self, consumer: Consumer, partitions: Collection[TopicPartition]) -> None:
        ended = [partition for partition in partitions if partition in self._reading]
        consumer.incremental_unassign([KafkaPartition(at.topic, at.partition) for at in ended])
        for partition in ended:
            del self._reading[partition]

    def _commit(self, consumer: Consumer, offsets: Mapping[TopicPartition, int], *, wait: bool) -> None:
        places = [KafkaPartition(at.topic, at.partition, offset) for at, offset in offsets.items()]
        try:
            if wait:
                consumer.commit(offsets=places, asynchronous=False)
            else:
                consumer.commit(offsets=places, asynchronous=True)
        except KafkaException as raised:
            # Only for consoles and monitors: the checkpoint in the database is what counts.
            _log.debug("consumer %s: offsets were not stored: %s", self._group_id, describe(raised.args[0]))

    def _pause(self, consumer: Consumer, paused: bool) -> None:
        if paused != self._paused and self._reading:
            places = [KafkaPartition(at.topic, at.partition) for at in self._reading]
            (consumer.pause if paused else consumer.resume)(places)
        self._paused = paused

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in _DOUBTFUL:
            self._doubtful = True
        self._connection.error(error)

    def _judge(self, error: KafkaError) -> None:
        if error.fatal() or error.code() in _FATAL:
            raise ConsumerStopped(self._words(error))
        if error.code() in _DOUBTFUL:
            self._doubtful = True
        if error.code() == KafkaError._MAX_POLL_EXCEEDED:
            _log.warning("consumer %s: left the group, it did not poll in time; it joins again", self._group_id)
        else:
            self._connection.error(error)

    def _words(self, error: KafkaError) -> str:
        if error.code() == KafkaError.FENCED_INSTANCE_ID or "instance" in error.str().lower():
            return (
                f"group {self._group_id!r}: another process has joined as instance {self._instance_id!r}; "
                f"give each process an EVENTBUS_INSTANCE_ID of its own, and start this one again"
            )
        return f"group {self._group_id!r} refuses this member: {describe(error)}"

    def _on_assign(self, consumer: Consumer, partitions: Sequence[KafkaPartition]) -> None:
        self._reopen_pause = 0.0
        if self._inheritance is not None and self._loop is not None:
            self._inheritance.ask(self._loop)
        # Nothing for now; without this call the binding would start them at the group's offsets.
        consumer.incremental_assign([])
        self._assigned |= _places(partitions)
        self._assignment_is_news = True

    def _on_revoke(self, consumer: Consumer, partitions: Sequence[KafkaPartition]) -> None:
        given_up = self._give_up(partitions)
        if commits := self._take_commits(given_up):
            self._commit(consumer, commits, wait=True)
        self._forget(consumer, given_up)

    def _on_lost(self, consumer: Consumer, partitions: Sequence[KafkaPartition]) -> None:
        # Nothing is committed: the group has forgotten this member, and a static one that commits while it joins anew
        # would be told, for good, that another has its name.
        given_up = self._give_up(partitions)
        if self._is_classic and consumer is self._consumer:
            # The log may be another one whose topics are still to be made. This client would join, be assigned nothing,
            # and find no change in a topic that has as many partitions as it had in the old log; and a client that took
            # its static name over would get the same nothing, unasked. So it does not join any more: the next one does.
            consumer.unsubscribe()
            self._is_lost = True
        self._forget(consumer, given_up)

    def _give_up(self, partitions: Sequence[KafkaPartition]) -> frozenset[TopicPartition]:
        given_up = _places(partitions) & self._assigned
        self._assigned -= given_up
        self._assignment_is_news = True
        self._wait_for_loop(given_up)
        return given_up

    def _forget(self, consumer: Consumer, given_up: frozenset[TopicPartition]) -> None:
        # After the wait: a batch that has ended meanwhile has noted an offset.
        self._take_commits(given_up)
        # Also when none of them was begun: what the group takes away has to be handed back.
        self._stop_reading(consumer, given_up)

    def _wait_for_loop(self, given_up: frozenset[TopicPartition]) -> None:
        if self._loop is None or not given_up:
            return
        try:
            asyncio.run_coroutine_threadsafe(_call(self._revoked, given_up), self._loop).result(_GIVE_UP_SECONDS)
        except TimeoutError:
            _log.warning(
                "consumer %s: work on revoked partitions did not end in %d s; a newer owner's claim fences it",
                self._group_id,
                _GIVE_UP_SECONDS,
            )
        except RuntimeError:
            # The loop was closed: there is no work any more.
            return

    def _close(self) -> None:
        self._inherit(None)
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        if self._connection.away_seconds is None and (commits := self._take_commits(self._assigned)):
            self._commit(consumer, commits, wait=True)
        consumer.close()


def _places(partitions: Sequence[KafkaPartition]) -> frozenset[TopicPartition]:
    return frozenset(TopicPartition(at.topic, at.partition) for at in partitions)


async def _call(revoked: Revoked, given_up: frozenset[TopicPartition]) -> None:
    await revoked(given_up)
