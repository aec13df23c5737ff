"""
Reading as a member of a group: librdkafka's Consumer, used by one thread only.

Rounds      `receive` lets the thread poll until there is something, drains what else has come, and wakes the loop once
Where from  an assignment starts empty: the partitions are handed out as news, and reading begins when `read_from`
            says where. So neither the group's offsets nor a reset rule decide anything
Requests    `read_from` and `commit` are noted on the loop and done by the thread before its next poll: every record of
            a round belongs to the assignment number that the round bears
Giving up   the revocation callback waits in the thread, for a bounded time, until the loop has finished with the
            partitions. Their effects are fenced in the database, so going on without is safe, only wasteful
"""

import asyncio
import logging
import threading
import time
from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as KafkaPartition

from eventbus.transport.kafka.batches import split
from eventbus.transport.kafka.connection import Connection
from eventbus.transport.kafka.options import describe, member_options
from eventbus.transport.port import ConsumerStopped, PartitionBatch, Revoked, Round, TopicPartition
from eventbus.transport.thread import CallThread

_log = logging.getLogger("eventbus.transport")

RECORDS_MAX = 1000
"""Records of one round."""

_WAIT_SECONDS = 0.1
_WAIT_FOR_REQUESTS_SECONDS = 0.02
_GROUP_ONLY_SECONDS = 1.0
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
        revoked: Revoked,
        connection: Connection,
        logger: logging.Logger,
    ) -> None:
        self._options = member_options(shared, group_id, instance_id)
        self._group_id = group_id
        self._instance_id = instance_id
        self._topics = list(topics)
        self._revoked = revoked
        self._connection = connection
        self._logger = logger
        self._thread = CallThread(f"eventbus-consumer-{group_id}")
        self._under_way: asyncio.Future[Round] | None = None
        self._closing = threading.Event()
        self._number = 0
        # Noted by the loop, taken by the thread; each is replaced as a whole.
        self._read_from: tuple[int, Mapping[TopicPartition, int]] | None = None
        self._commits: Mapping[TopicPartition, int] = {}
        # From here on: the thread's own.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._consumer: Consumer | None = None
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._assignment_is_news = False
        self._reading: list[KafkaPartition] = []
        self._reading_number = 0
        self._paused = False
        self._doubtful = False

    async def receive(self, *, records: bool = True) -> Round:
        if self._under_way is None:
            self._loop = asyncio.get_running_loop()
            self._under_way = self._thread.submit(lambda: self._round(records))
        found = await asyncio.shield(self._under_way)
        self._under_way = None
        return found

    def read_from(self, offsets: Mapping[TopicPartition, int]) -> int:
        self._number += 1
        self._read_from = (self._number, dict(offsets))
        return self._number

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._commits = {**self._commits, **offsets}

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
        consumer.subscribe(self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
        self._consumer = consumer
        return consumer

    def _round(self, records: bool) -> Round:
        consumer = self._consumer or self._open()
        deadline = time.monotonic() + _GROUP_ONLY_SECONDS
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
                self._judge(error)
            if batches or self._doubtful or self._assignment_is_news:
                return self._take(batches)
            if not records and time.monotonic() > deadline:
                break
        return self._take([])

    def _take(self, batches: Sequence[PartitionBatch]) -> Round:
        assigned = self._assigned if self._assignment_is_news else None
        found = Round(self._reading_number, assigned, self._doubtful, batches)
        self._assignment_is_news = False
        self._doubtful = False
        return found

    def _do_requests(self, consumer: Consumer) -> None:
        if (request := self._read_from) is not None:
            self._read_from = None
            self._reading_number, offsets = request
            self._pause(consumer, False)
            self._reading = [
                KafkaPartition(partition.topic, partition.partition, offset)
                for partition, offset in offsets.items()
                if partition in self._assigned
            ]
            consumer.assign(self._reading)
        commits, self._commits = self._commits, {}
        owned = {partition: offset for partition, offset in commits.items() if partition in self._assigned}
        if owned:
            self._commit(consumer, owned, wait=False)

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
            (consumer.pause if paused else consumer.resume)(self._reading)
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
        # Empty for now; without this call the binding would start them at the group's offsets.
        consumer.assign([])
        self._reading = []
        self._assigned = frozenset(TopicPartition(at.topic, at.partition) for at in partitions)
        self._assignment_is_news = True

    def _on_revoke(self, consumer: Consumer, partitions: Sequence[KafkaPartition]) -> None:
        given_up, self._assigned = self._assigned, frozenset[TopicPartition]()
        self._assignment_is_news = True
        self._wait_for_loop(given_up)
        if self._commits:
            commits, self._commits = self._commits, {}
            self._commit(consumer, commits, wait=True)
        self._reading = []
        consumer.unassign()

    def _on_lost(self, consumer: Consumer, partitions: Sequence[KafkaPartition]) -> None:
        given_up, self._assigned = self._assigned, frozenset[TopicPartition]()
        self._assignment_is_news = True
        self._wait_for_loop(given_up)
        # After the wait: a batch that ends meanwhile has noted an offset. The group has forgotten this member, and a
        # static one that commits while it joins anew would be told, for good, that another has its name.
        self._commits = {}
        self._reading = []
        consumer.unassign()

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
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        if self._commits and self._connection.away_seconds is None:
            commits, self._commits = self._commits, {}
            self._commit(consumer, commits, wait=True)
        consumer.close()


async def _call(revoked: Revoked, given_up: frozenset[TopicPartition]) -> None:
    await revoked(given_up)
