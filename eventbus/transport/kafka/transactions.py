"""
Writing in transactions: librdkafka's Producer under a transactional id, used by one thread only.

One batch   begin, queue every record, commit: the commit waits for the records and answers for all of them
Refused     one record that the log refuses fails the transaction. It is aborted, and the batch written again without
            the refused records and the later ones of their keys, until it can be committed
Away        librdkafka's calls are made again and again until the broker answers, however long that takes; every call is
            short, so that giving up is
Fenced      whoever takes the transactional id over aborts what is open under it, and this client fails for good
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from eventbus.errors import BrokerUnavailable, PublishRefused
from eventbus.transport.kafka.connection import Connection
from eventbus.transport.kafka.options import AWAY, REFUSED, describe, transactional_options
from eventbus.transport.port import OutgoingRecord, ProducerFenced, Published, PublishOutcome, TransactionsRefused
from eventbus.transport.thread import CallThread

_CALL_SECONDS = 0.5
_POLL_SECONDS = 0.02
_PAUSE_SECONDS = 0.05
_ABORT_AT_CLOSE_SECONDS = 1.0
_CLOSE_SECONDS = 5.0
# What was sent behind a refused record counts as sent, and the next transaction's first record is then one too far on.
# librdkafka finds it out by that transaction, and counts anew once it has aborted it.
_SKIPPED_MAX = 3
_NOT_ALLOWED = frozenset({KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})
# librdkafka asks again for ever, and would say nothing: a broker's limit on transactional ids is not mended by waiting.
_ID_REFUSED = frozenset({KafkaError.INVALID_REQUEST, KafkaError.POLICY_VIOLATION})
Place = tuple[str, bytes | int]
"""What the order is kept within: the topic and the key, or a record's index where it has no key."""


class _Attempt:
    """One transaction with some records of a batch, by their index: what became of each."""

    def __init__(self) -> None:
        self.written: dict[int, Published] = {}
        self.refused: dict[int, PublishRefused] = {}

    def delivered(self, index: int, error: KafkaError | None, message: Message) -> None:
        """The delivery report of a record; runs inside librdkafka's calls, in the thread."""
        topic = message.topic() or ""
        if error is None:
            self.written[index] = Published(topic, message.partition() or 0, message.offset() or 0)
        elif error.code() in REFUSED:
            self.refused[index] = _refusal(error, topic)


class KafkaTransactionalProducer:
    """A `TransactionalProducer` over librdkafka."""

    def __init__(
        self,
        shared: Mapping[str, str | int],
        transactional_id: str,
        connection: Connection,
        logger: logging.Logger,
    ) -> None:
        self._transactional_id = transactional_id
        self._options = transactional_options(shared, transactional_id)
        self._connection = connection
        self._logger = logger
        self._thread = CallThread(f"eventbus-producer-{transactional_id}", self._poll)
        self._given_up = threading.Event()
        # The thread's own.
        self._producer: Producer | None = None
        self._is_taken = False
        self._is_open = False

    async def take_over(self) -> None:
        self._given_up.clear()
        await self._thread.submit(self._take_over)

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[PublishOutcome]:
        done = False
        try:
            outcomes = await self._thread.submit(lambda: self._publish(records))
            done = True
        finally:
            if not done:
                self._given_up.set()
        return outcomes

    async def aclose(self) -> None:
        self._given_up.set()
        with suppress(RuntimeError):  # closed before
            self._thread.submit(self._close)
        await self._thread.aclose(_CLOSE_SECONDS)

    # In the thread.

    def _poll(self) -> None:
        """Between batches, for what librdkafka has to say about its connections."""
        if self._producer is not None:
            # One that is done for says so here, too, and the thread would end with it: the next call finds it out.
            with suppress(KafkaException):
                self._producer.poll(0)

    def _close(self) -> None:
        if self._is_open:
            # Otherwise readers wait behind it until the id is taken over.
            with suppress(KafkaException):
                self._live().abort_transaction(_ABORT_AT_CLOSE_SECONDS)
        self._drop()

    def _drop(self) -> None:
        """
        Lets the client go, here in the thread, since taking librdkafka down can block. No frame keeps it in a local
        variable: the traceback of an error would bring it to the event loop, to be taken down there.
        """
        if self._producer is not None:
            self._producer.purge(in_queue=True, in_flight=True, blocking=False)
        self._producer, self._is_taken, self._is_open = None, False, False

    def _live(self) -> Producer:
        if self._producer is None:
            raise ProducerFenced(f"transactional id {self._transactional_id!r} has not been taken over yet")
        return self._producer

    def _take_over(self) -> None:
        # A client that was fenced never works again, and whether this one was need not be known.
        self._drop()
        self._producer = Producer({**self._options, "error_cb": self._connection.error}, logger=self._logger)
        try:
            self._again(lambda seconds: self._live().init_transactions(seconds), final=_ID_REFUSED)
        except KafkaException as raised:
            self._drop()
            raise self._not_taken(raised.args[0]) from raised
        self._is_taken = True

    def _not_taken(self, error: KafkaError) -> Exception:
        if error.code() in _NOT_ALLOWED:
            return TransactionsRefused(
                f"the log does not let this client use the transactional id {self._transactional_id!r}: "
                f"{describe(error)}; grant it WRITE and DESCRIBE on the transactional ids that begin with "
                f"{self._transactional_id.rpartition('.')[0] + '.'!r}"
            )
        if _is_end(error):
            return ProducerFenced(self._words(error))
        return TransactionsRefused(
            f"the log refuses the transactional id {self._transactional_id!r}: {describe(error)}; its own log says "
            "why, such as a limit on the length or the number of transactional ids"
        )

    def _publish(self, records: Sequence[OutgoingRecord]) -> list[PublishOutcome]:
        if not self._is_taken:
            raise ProducerFenced(f"transactional id {self._transactional_id!r} has not been taken over yet")
        outcomes: dict[int, PublishOutcome] = {}
        places: list[Place] = [
            (record.topic, at if record.key is None else record.key) for at, record in enumerate(records)
        ]
        try:
            self._write(records, list(range(len(records))), places, outcomes)
        except BrokerUnavailable as error:
            for at in range(len(records)):
                outcomes.setdefault(at, error)
        return [outcomes[at] for at in range(len(records))]

    def _write(
        self,
        records: Sequence[OutgoingRecord],
        left: Sequence[int],
        places: Sequence[Place],
        outcomes: dict[int, PublishOutcome],
    ) -> None:
        """Transactions until one is committed with all that is not refused of those *left*."""
        again = _SKIPPED_MAX
        while left:
            attempt = _Attempt()
            error = self._transaction(records, left, places, attempt)
            if error is not None and not attempt.refused:
                if error.code() == KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER and again:
                    again -= 1
                    continue
                topics = {records[at].topic for at in left}
                if error.code() not in REFUSED:
                    raise BrokerUnavailable(f"the transaction was aborted: {describe(error)}")
                if len(topics) > 1:
                    # It says not which of the topics it is about.
                    for topic in sorted(topics):
                        own = [at for at in left if records[at].topic == topic]
                        self._write(records, own, places, outcomes)
                    return
                attempt.refused = {at: _refusal(error, records[at].topic) for at in left}
            outcomes.update(attempt.refused)
            first_refused: dict[Place, int] = {}
            for at in sorted(attempt.refused):
                first_refused.setdefault(places[at], at)
            rest: list[int] = []
            for at in left:
                if at > first_refused.get(places[at], at):
                    words = f"a record of its key before it was refused by topic {records[at].topic!r}"
                    outcomes[at] = attempt.refused.get(at) or PublishRefused(words)
                elif at not in attempt.refused:
                    rest.append(at)
            left = rest
            if error is None:
                outcomes.update({at: attempt.written[at] for at in left})
                return

    def _transaction(
        self,
        records: Sequence[OutgoingRecord],
        left: Sequence[int],
        places: Sequence[Place],
        attempt: _Attempt,
    ) -> KafkaError | None:
        """One transaction; None when it is committed, the error for which it was aborted otherwise."""
        try:
            self._live().begin_transaction()
            self._is_open = True
            refused: set[Place] = set()
            for at in left:
                if places[at] in refused:
                    continue
                found = self._queue(records[at], partial(attempt.delivered, at))
                if found is not None:
                    attempt.refused[at] = _refusal(found, records[at].topic)
                    refused.add(places[at])
            self._again(lambda seconds: self._live().commit_transaction(seconds))
            self._is_open = False
        except KafkaException as raised:
            error: KafkaError = raised.args[0]
            if _is_end(error):
                raise ProducerFenced(self._words(error)) from raised
            self._abort()
            return error
        return None

    def _queue(
        self, record: OutgoingRecord, delivered: Callable[[KafkaError | None, Message], None]
    ) -> KafkaError | None:
        """Queues a record; an error when it is refused here and now."""
        while True:
            self._stop_when_given_up()
            try:
                self._live().produce(
                    record.topic, record.value, record.key, headers=list(record.headers), on_delivery=delivered
                )
            except BufferError:
                self._live().poll(_POLL_SECONDS)
            except KafkaException as raised:
                error: KafkaError = raised.args[0]
                if error.code() not in REFUSED:
                    raise
                return error
            else:
                return None

    def _abort(self) -> None:
        try:
            self._again(lambda seconds: self._live().abort_transaction(seconds))
        except KafkaException as raised:
            raise ProducerFenced(self._words(raised.args[0])) from raised
        self._is_open = False

    def _again(self, call: Callable[[float], None], final: Collection[int] = ()) -> None:
        """
        Makes a call of librdkafka until it is answered. Raises KafkaException for an answer that is an error, and for
        those codes of which librdkafka thinks that asking again could help.
        """
        while True:
            self._stop_when_given_up()
            try:
                call(_CALL_SECONDS)
            except KafkaException as raised:
                error: KafkaError = raised.args[0]
                if error.code() in final or error.fatal() or error.txn_requires_abort():
                    raise
                if not (error.retriable() or error.code() in AWAY):
                    raise
                self._connection.suspect(describe(error))
                time.sleep(_PAUSE_SECONDS)
            else:
                return

    def _stop_when_given_up(self) -> None:
        if self._given_up.is_set():
            raise BrokerUnavailable("given up before the log had answered")

    def _words(self, error: KafkaError) -> str:
        return (
            f"transactional id {self._transactional_id!r} was taken over, or its producer given up: {describe(error)}"
        )


def _is_end(error: KafkaError) -> bool:
    return error.fatal() or error.code() in {
        KafkaError._FENCED,
        KafkaError._FATAL,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
    }


def _refusal(error: KafkaError, topic: str) -> PublishRefused:
    return PublishRefused(f"topic {topic!r} refuses the record: {describe(error)}")
