"""
Writing: librdkafka's Producer, polled by one thread that answers whole batches.

Threads     `produce` is called on the event loop (it only queues); delivery reports are collected in the poll thread,
            and one wake-up of the loop a round settles every call that they complete
Order       the queue is the order: records of a key go to one partition, and the idempotent producer keeps its order
            through reconnects; nothing is given up on by time
A new one   after a fatal error, and after a cancelled call (its purge leaves holes in the sequence), the next call
            makes a new producer
"""

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from eventbus.errors import BrokerUnavailable, PublishRefused
from eventbus.transport.kafka.connection import Connection
from eventbus.transport.kafka.options import AWAY, REFUSED, describe, producer_options
from eventbus.transport.port import OutgoingRecord, Published, PublishOutcome
from eventbus.transport.thread import ended

_log = logging.getLogger("eventbus.transport")

_POLL_SECONDS = 0.1
_CLOSE_SECONDS = 5.0
_FULL_QUEUE_PAUSE_SECONDS = 0.005


class _Call:
    """
    One `publish`: its outcomes so far, and the future that is settled when all are there.

    The thread alone counts `reported`, the loop alone sets `queued`, each then compares the two: whoever comes last
    settles the call, with no lock.
    """

    __slots__ = ("future", "outcomes", "queued", "reported")

    def __init__(self, count: int, future: "asyncio.Future[None]") -> None:
        self.outcomes: list[PublishOutcome | None] = [None] * count
        self.queued: int | None = None
        self.reported = 0
        self.future = future

    def settle(self) -> None:
        """On the loop."""
        if not self.future.done():
            self.future.set_result(None)


class _Client:
    """One librdkafka producer and the thread that polls it."""

    def __init__(self, producer: Producer, loop: asyncio.AbstractEventLoop) -> None:
        # Dropped by the thread at its end: taking librdkafka down blocks, and the loop is not to wait for that.
        self._producer: Producer | None = producer
        self.broken: str | None = None
        self._loop = loop
        self._settled: list[_Call] = []
        self._closing = threading.Event()
        self.thread = threading.Thread(target=self._run, name="eventbus-producer", daemon=True)
        self.thread.start()

    def produce(self, record: OutgoingRecord, call: _Call, index: int) -> None:
        """Queues a record. Raises BufferError when the queue is full, KafkaException, BrokerUnavailable at the end."""
        if self._producer is None:
            raise BrokerUnavailable("the producer is closed")
        self._producer.produce(
            record.topic,
            record.value,
            record.key,
            headers=list(record.headers),
            on_delivery=partial(self._delivered, call, index),
        )

    def _delivered(self, call: _Call, index: int, error: KafkaError | None, message: Message) -> None:
        """The delivery report of one record; runs inside `poll`, in the thread."""
        call.outcomes[index] = self._outcome(error, message)
        call.reported += 1
        if call.reported == call.queued:
            self._settled.append(call)

    def _outcome(self, error: KafkaError | None, message: Message) -> PublishOutcome:
        if error is None:
            return Published(message.topic() or "", message.partition() or 0, message.offset() or 0)
        if error.code() in REFUSED:
            return _refusal(error, message.topic() or "")
        if error.code() not in AWAY:
            self._break(error)
        return BrokerUnavailable(f"the record was not written: {describe(error)}")

    def _break(self, error: KafkaError) -> None:
        if self.broken is None:
            self.broken = describe(error)
            _log.error("the log takes nothing more from this producer, a new one is made: %s", self.broken)

    def give_up(self) -> None:
        """Gives up everything that is not written."""
        self.broken = self.broken or "given up"
        if self._producer is not None:
            self._producer.purge(in_queue=True, in_flight=True, blocking=False)

    def end(self) -> None:
        """Lets the thread end, when what was given up has been reported."""
        self._closing.set()

    def _run(self) -> None:
        producer = self._producer
        while producer is not None and not self._closing.is_set():
            try:
                producer.poll(_POLL_SECONDS)
            except KafkaException as raised:
                # What ends it for good is told here first, and its records are told of afterwards.
                self._break(raised.args[0])
            self._hand_over()
        if producer is not None:
            with suppress(KafkaException):
                producer.flush(1.0)
        self._hand_over()
        self._producer = None

    def _hand_over(self) -> None:
        if self._settled:
            settled, self._settled = self._settled, []
            try:
                self._loop.call_soon_threadsafe(_settle, settled)
            except RuntimeError:
                # The loop was closed: nobody waits for these outcomes.
                return


def _settle(calls: Sequence[_Call]) -> None:
    for call in calls:
        call.settle()


def _refusal(error: KafkaError, topic: str) -> PublishRefused:
    return PublishRefused(f"topic {topic!r} refuses the record: {describe(error)}")


class KafkaProducer:
    """A `RecordProducer` over librdkafka."""

    def __init__(self, shared: Mapping[str, str | int], connection: Connection, logger: logging.Logger) -> None:
        self._options = producer_options(shared)
        self._connection = connection
        self._logger = logger
        self._client: _Client | None = None
        self._retired: list[_Client] = []
        self._closed = False

    def connect(self) -> None:
        """Makes the client now: acquiring a producer id takes librdkafka half a second, which no record has to wait."""
        self._current(asyncio.get_running_loop())

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[PublishOutcome]:
        if not records:
            return []
        loop = asyncio.get_running_loop()
        client = self._current(loop)
        call = _Call(len(records), loop.create_future())
        refused: set[tuple[str, bytes]] = set()
        queued = 0
        try:
            for index, record in enumerate(records):
                decided = await self._queue(client, call, index, record, refused)
                if decided is None:
                    queued += 1
                else:
                    call.outcomes[index] = decided
            call.queued = queued
            if call.reported < queued:
                await call.future
        except asyncio.CancelledError:
            client.give_up()
            raise
        return [outcome for outcome in call.outcomes if outcome is not None]

    async def aclose(self) -> None:
        self._closed = True
        if self._client is not None:
            self._client.give_up()
            self._retire(self._client)
        await ended([client.thread for client in self._retired], _CLOSE_SECONDS)
        self._retired.clear()

    def _current(self, loop: asyncio.AbstractEventLoop) -> _Client:
        if self._closed:
            raise BrokerUnavailable("the producer is closed")
        if self._client is not None and self._client.broken is not None:
            self._retire(self._client)
        if self._client is None:
            options = {**self._options, "error_cb": self._connection.error}
            self._client = _Client(Producer(options, logger=self._logger), loop)
        return self._client

    def _retire(self, client: _Client) -> None:
        client.end()
        self._retired = [retired for retired in self._retired if retired.thread.is_alive()]
        self._retired.append(client)
        self._client = None

    async def _queue(
        self, client: _Client, call: _Call, index: int, record: OutgoingRecord, refused: set[tuple[str, bytes]]
    ) -> PublishOutcome | None:
        """Queues one record; an outcome when it is decided here and now."""
        place = (record.topic, record.key) if record.key is not None else None
        if place in refused:
            return PublishRefused(f"an earlier record of its key was refused by topic {record.topic!r}")
        while True:
            try:
                client.produce(record, call, index)
            except BrokerUnavailable as closed:
                return closed
            except BufferError:
                await asyncio.sleep(_FULL_QUEUE_PAUSE_SECONDS)
            except KafkaException as raised:
                error: KafkaError = raised.args[0]
                if error.code() not in REFUSED:
                    return BrokerUnavailable(f"the record was not written: {describe(error)}")
                if place is not None:
                    refused.add(place)
                return _refusal(error, record.topic)
            else:
                return None
