"""Whoever writes: idempotent producers, transactional ones with successors, copiers (consume, transform, produce)."""

import contextlib
import time
from collections.abc import Sequence
from itertools import count

from confluent_kafka import Consumer, KafkaException, Message

from tests.crash.log.consumers import Reader
from tests.crash.log.group_rules import copy_of
from tests.crash.log.history import Begin, Commit, End, History
from tests.crash.log.worker import OVER, RecordedProducer, Topic, Worker, retried

TRANSACTION_TIMEOUT_S = 900.0
KEYS = 60
UNANSWERED_MAX = 200


class IdempotentProducer(Worker):
    """Bursts of records to some topics; on compacted ones with keys and now and then a tombstone."""

    def __init__(self, name: str, history: History, bootstrap: str, seed: int, *, topics: Sequence[Topic]) -> None:
        super().__init__(name, history, bootstrap, seed)
        self._topics = topics
        self._numbers = count(1)
        self._producer = RecordedProducer(self)

    def step(self) -> None:
        producer = self._producer
        if producer.unanswered < UNANSWERED_MAX:
            for _ in range(self.random.choice((1, 3, 10))):
                topic = self.random.choice(self._topics)
                value: str | None = f"{self.name}:{next(self._numbers)}"
                key = f"k{self.random.randrange(KEYS)}" if topic.replaced else None
                if key is not None and self.random.random() < 0.05:
                    value = None
                try:
                    producer.send(
                        self.random.choice(topic.places), value, key=key, padding=self.random.choice((0, 50, 1500))
                    )
                except KafkaException:
                    # A fatal error: this incarnation is over.
                    self._producer = RecordedProducer(self)
                    return
        try:
            producer.client.poll(self.random.choice((0.01, 0.05, 0.1)))
        except OVER:
            self._producer = RecordedProducer(self)

    def finish(self) -> None:
        self._producer.settle()


class TransactionalProducer(Worker):
    """Transactions that commit or abort; sometimes a successor comes in the middle, and the zombie goes on."""

    def __init__(
        self,
        name: str,
        history: History,
        bootstrap: str,
        seed: int,
        *,
        topic: Topic,
        looks_inside: bool,
        succeeded: bool,
    ) -> None:
        super().__init__(name, history, bootstrap, seed)
        self._topic = topic
        self._looks_inside = looks_inside
        self._succeeded = succeeded
        self._numbers = count(1)
        self._producer: RecordedProducer | None = None
        self._inside: Reader | None = None

    def step(self) -> None:
        try:
            producer = self._producer
            if producer is None:
                producer = RecordedProducer(self, self.name)
                producer.initialise()
                self._producer = producer
            self._transact(producer)
        except OVER:
            # Fenced, or an end whose outcome is not known: the next incarnation settles it.
            self._producer = None
        time.sleep(self.random.choice((0.01, 0.03, 0.06)))

    def finish(self) -> None:
        """The last incarnation aborts what is open."""
        for _ in range(5):
            with contextlib.suppress(*OVER):
                RecordedProducer(self, self.name).initialise()
                break
        if self._inside is not None:
            self._inside.close()

    def _transact(self, producer: RecordedProducer) -> None:
        name = self._begin(producer)
        for _ in range(self.random.choice((1, 2, 5))):
            self._send(producer, name)
        if self._looks_inside and self.random.random() < 0.5:
            producer.client.flush(5)
            if self._inside is None:
                self._inside = Reader(self, f"{self.name}-inside", self._topic.places, "committed", from_end=True)
            self._inside.poll(0.05)
        if self._succeeded and self.random.random() < 0.1:
            self._succeed(producer, name)
            return
        end(self, producer, name, committed=self.random.random() < 0.65)

    def _succeed(self, zombie: RecordedProducer, transaction: str) -> None:
        """The zombie writes and commits while its successor has a transaction open."""
        successor = RecordedProducer(self, self.name)
        successor.initialise()
        self._producer = successor
        name = self._begin(successor)
        self._send(successor, name)
        successor.client.flush(5)
        with contextlib.suppress(*OVER):
            self._send(zombie, transaction)
            zombie.client.flush(2)
        with contextlib.suppress(*OVER):
            end(self, zombie, transaction, committed=True)
        end(self, successor, name, committed=self.random.random() < 0.65)

    def _begin(self, producer: RecordedProducer) -> str:
        name = self.new_name(f"{self.name}-transaction")
        begin(self, producer, name)
        return name

    def _send(self, producer: RecordedProducer, transaction: str) -> None:
        producer.send(
            self.random.choice(self._topic.places), f"{self.name}:{next(self._numbers)}", transaction=transaction
        )


def begin(worker: Worker, producer: RecordedProducer, transaction: str) -> None:
    """Raises KafkaException when the incarnation is over."""
    operation = worker.history.invoke(
        worker.name, Begin(worker.name, producer.name, transaction, TRANSACTION_TIMEOUT_S)
    )
    producer.client.begin_transaction()
    worker.history.complete(operation, "ok")


def end(worker: Worker, producer: RecordedProducer, transaction: str, *, committed: bool) -> bool:
    """
    Commits or aborts; what cannot be committed is aborted. Whether it was committed.

    Raises KafkaException when the incarnation is over.
    """
    operation = worker.history.invoke(worker.name, End(transaction, producer.name, committed))
    try:
        _end_with_retries(producer, committed=committed)
    except KafkaException as error:
        # To be aborted: the commit was never sent, or was refused.
        needs_abort = committed and error.args[0].txn_requires_abort()
        worker.history.complete(operation, "fail" if needs_abort else "unknown", reason=str(error))
        if not needs_abort:
            raise
        return end(worker, producer, transaction, committed=False)
    worker.history.complete(operation, "ok")
    worker.progress += 1
    return committed


def _end_with_retries(producer: RecordedProducer, *, committed: bool) -> None:
    client = producer.client
    retried(lambda: client.commit_transaction(10) if committed else client.abort_transaction(10))


class Copier(Worker):
    """Copies a topic to another one exactly once: output and offsets in one transaction."""

    def __init__(self, name: str, history: History, bootstrap: str, seed: int, *, source: Topic, target: Topic) -> None:
        super().__init__(name, history, bootstrap, seed)
        self._source = source
        self._target = target
        self._producer: RecordedProducer | None = None
        self._consumer: Consumer | None = None

    def step(self) -> None:
        try:
            producer, consumer = self._clients()
            messages = [each for each in consumer.consume(20, 0.2) if each.error() is None]
            if messages:
                self._copy(producer, consumer, messages)
        except OVER:
            self._close()

    def finish(self) -> None:
        """The last incarnation aborts what is open; then nobody moves the group's offsets any more."""
        self._close()
        for _ in range(5):
            with contextlib.suppress(*OVER):
                RecordedProducer(self, self.name).initialise()
                return

    def _clients(self) -> tuple[RecordedProducer, Consumer]:
        if self._producer is None or self._consumer is None:
            self._producer = RecordedProducer(self, self.name)
            self._producer.initialise()
            # A static member: its successor takes its place at once.
            self._consumer = Consumer(
                self.settings(
                    group_id=self.name,
                    group_instance_id=self.name,
                    isolation_level="read_committed",
                    auto_offset_reset="earliest",
                    enable_auto_commit=False,
                    fetch_wait_max_ms=100,
                )
            )
            self._consumer.subscribe([self._source.name])
        return self._producer, self._consumer

    def _copy(self, producer: RecordedProducer, consumer: Consumer, messages: list[Message]) -> None:
        name = self.new_name(f"{self.name}-transaction")
        begin(self, producer, name)
        for message in messages:
            value = message.value()
            assert value is not None
            copy = copy_of(value.decode(), name)
            producer.send(self.random.choice(self._target.places), copy, transaction=name)
        positions = [each for each in consumer.position(consumer.assignment()) if each.offset >= 0]
        offsets = {f"{each.topic}-{each.partition}": each.offset for each in positions}
        operation = self.history.invoke(self.name, Commit(self.name, offsets, transaction=name))
        try:
            producer.client.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), 10)
        except KafkaException as error:
            self.history.complete(operation, "unknown", reason=str(error))
            if not error.args[0].txn_requires_abort():
                raise
            end(self, producer, name, committed=False)
            raise
        self.history.complete(operation, "ok")
        if not end(self, producer, name, committed=self.random.random() < 0.85):
            # What was consumed has to come again.
            self._close()

    def _close(self) -> None:
        self._producer = None
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
