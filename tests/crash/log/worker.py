"""A client in a thread of its own, and what all of them share."""

import logging
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from confluent_kafka import KafkaException, Producer

from tests.crash.log.history import History, Init, Send, Work

# librdkafka says every lost connection; here they are lost all the time.
SILENT = logging.getLogger("tests.crash.log.clients")
SILENT.disabled = True

# confluent-kafka raises a fatal error out of poll() and flush(), and Python a SystemError when a report was on its way.
OVER = (KafkaException, SystemError)

RESUMES_SECONDS_MAX = 20.0
_NAMES = count(1)


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of the load. `replaced`: records may go by compaction; `dropped`: by retention."""

    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict[str, str])
    replaced: bool = False
    dropped: bool = False

    @property
    def places(self) -> list[str]:
        return [f"{self.name}-{index}" for index in range(self.partitions)]


def split(place: str) -> tuple[str, int]:
    """Topic and index of a place."""
    topic, _, index = place.rpartition("-")
    return topic, int(index)


class Worker(ABC):
    """
    Repeats `step()` until it is stopped. `progress` counts what was acknowledged; the driver waits for it after faults.

    An exception that is not a client's own ends the run: it is kept in `failure`.
    """

    resumes_s = RESUMES_SECONDS_MAX

    def __init__(self, name: str, history: History, bootstrap: str, seed: int) -> None:
        self.name = name
        self.history = history
        self.bootstrap = bootstrap
        self.random = random.Random(f"{seed} {name}")
        self.progress = 0
        self.failure: BaseException | None = None
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._operation = 0

    @abstractmethod
    def step(self) -> None:
        """A few operations, a second at most while the broker answers."""

    def finish(self) -> None:  # noqa: B027 (most have nothing to settle)
        """Settles what is open, when the last step is over."""

    def start(self) -> None:
        self._operation = self.history.invoke(self.name, Work(self.resumes_s))
        self._thread.start()

    def stop(self) -> None:
        self.stopping.set()

    def join(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive(), f"{self.name} does not stop"

    def settings(self, **more: str | int | bool | Callable[..., object]) -> dict[str, object]:
        """librdkafka's, made for a broker that goes and comes."""
        settings: dict[str, object] = {
            "bootstrap.servers": self.bootstrap,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 200,
            "retry.backoff.ms": 20,
            "retry.backoff.max.ms": 200,
            # When its only broker is away librdkafka (2.15) forgets it and begins anew; a TxnOffsetCommit that was on
            # its way then waits for the forgotten connection for ever.
            "metadata.recovery.strategy": "none",
            "topic.metadata.refresh.interval.ms": 5_000,
            "log_level": 0,
            "logger": SILENT,
            "client.id": self.name,
        }
        settings.update({key.replace("_", "."): value for key, value in more.items()})
        return settings

    def new_name(self, what: str) -> str:
        """Another one each time."""
        return f"{what}#{next(_NAMES)}"

    def _run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.step()
            self.finish()
        except Exception as failure:
            self.failure = failure
        finally:
            self.history.complete(self._operation, "ok")


class RecordedProducer:
    """librdkafka's idempotent producer; with a transactional id it takes that over when it is made."""

    def __init__(self, worker: Worker, transactional_id: str | None = None) -> None:
        self.name = worker.new_name(worker.name)
        self.transactional_id = transactional_id
        self.unanswered = 0
        self._worker = worker
        settings = worker.settings(enable_idempotence=True, linger_ms=2, message_timeout_ms=60_000)
        if transactional_id is not None:
            settings |= {"transactional.id": transactional_id, "transaction.timeout.ms": 900_000}
        self.client = Producer(settings)

    def initialise(self) -> None:
        """Fences all earlier incarnations. Raises KafkaException."""
        assert self.transactional_id is not None
        operation = self._worker.history.invoke(self._worker.name, Init(self.transactional_id, self.name))
        try:
            retried(lambda: self.client.init_transactions(10))
        except KafkaException as error:
            self._worker.history.complete(operation, "unknown", reason=str(error))
            raise
        self._worker.history.complete(operation, "ok")
        self._worker.progress += 1

    def send(
        self, place: str, value: str | None, *, key: str | None = None, transaction: str | None = None, padding: int = 0
    ) -> None:
        """One record; its operation completes with librdkafka's report."""
        topic, partition = split(place)
        operation = self._worker.history.invoke(
            self._worker.name, Send(place, self.name, value, key=key, transaction=transaction)
        )

        def reported(error: object, message: object) -> None:
            self.unanswered -= 1
            if error is None:
                self._worker.progress += 1
                self._worker.history.complete(operation, "ok", offset=message.offset())  # type: ignore[attr-defined] # librdkafka's
            else:
                self._worker.history.complete(operation, "unknown", reason=str(error))

        self.unanswered += 1
        try:
            self.client.produce(
                topic,
                value.encode() if value is not None else None,
                key.encode() if key is not None else None,
                partition,
                on_delivery=reported,
                headers={"padding": b"." * padding},
            )
        except BaseException:
            # Refused before it was sent: nothing of it can be anywhere.
            self.unanswered -= 1
            self._worker.history.complete(operation, "fail")
            raise

    def settle(self) -> None:
        """Waits for all reports."""
        self.client.flush(30)


def retried(call: Callable[[], object], attempts: int = 20) -> None:
    """Repeats what librdkafka calls retriable. Raises KafkaException."""
    for attempt in range(attempts):
        try:
            call()
        except KafkaException as error:
            if attempt + 1 == attempts or not error.args[0].retriable():
                raise
        else:
            return
