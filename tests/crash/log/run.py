"""A broker under load that is killed, frozen and restarted, and the history of it."""

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.crash.log.bare import GONE, Disturber, Repeater, Watcher
from tests.crash.log.checker import Finding, findings
from tests.crash.log.consumers import GroupMember, GroupWatcher, PlaceReader
from tests.crash.log.history import Completed, End, Fault, History, Invoked, Send, operations, read_history
from tests.crash.log.producers import Copier, IdempotentProducer, TransactionalProducer
from tests.crash.log.worker import RESUMES_SECONDS_MAX, Topic, Worker
from tests.servers.broker_process import BrokerProcess

ROLLS_SOON = {"segment.ms": "700"}
PLAIN = Topic("plain", 2, ROLLS_SOON)
CHANGES = Topic("changes", 2, ROLLS_SOON)
COPIES = Topic("copies", 2, ROLLS_SOON)
DURABLE = Topic("durable", 1, {"flush.before.ack": "true"})
COMPACTED = Topic(
    "compacted",
    1,
    {
        "cleanup.policy": "compact",
        "segment.ms": "150",
        "min.cleanable.dirty.ratio": "0",
        "delete.retention.ms": "0",
        "max.compaction.lag.ms": "150",
    },
    replaced=True,
)
RETAINED = Topic("retained", 1, {"segment.ms": "200", "retention.ms": "1500"}, dropped=True)
TOPICS = (PLAIN, CHANGES, COPIES, DURABLE, COMPACTED, RETAINED)
SETTINGS = (
    "log.flush.offset.checkpoint.interval.ms=500",
    "log.cleaner.backoff.ms=300",
    "log.retention.check.interval.ms=300",
    # A member that could not say good-bye is in the way until its session is over.
    "group.min.session.timeout.ms=3000",
    "group.consumer.session.timeout.ms=3000",
    "group.consumer.heartbeat.interval.ms=500",
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run amounted to."""

    acknowledged: int
    committed: int
    aborted: int
    faults: dict[str, int]
    seconds: float

    def __str__(self) -> str:
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        return (
            f"{self.acknowledged} records acknowledged, {self.committed} transactions committed, {self.aborted} "
            f"aborted; {faults}; {self.seconds:.0f} s"
        )


@dataclass(slots=True)
class LogRun:
    """
    One broker, its clients and their history.

    `only` takes the roles that are needed; None takes all. `broken` names a fault of faults.py.
    """

    directory: Path
    seed: int
    only: frozenset[str] | None = None
    broken: str | None = None
    jumps: bool = True
    resumes_s: float = RESUMES_SECONDS_MAX
    say: Callable[[str], None] = print
    history: History = field(init=False)
    broker: BrokerProcess = field(init=False)
    workers: list[Worker] = field(init=False, default_factory=list["Worker"])
    random: Random = field(init=False)
    _watcher: Watcher = field(init=False)

    def __post_init__(self) -> None:
        self.history = History(self.directory / "history.jsonl")
        self.random = Random(self.seed)
        command = [sys.executable, "-m", "tests.crash.log.server"]
        if self.jumps:
            command += ["--clock-seed", str(self.seed)]
        if self.broken is not None:
            command += ["--break", self.broken]
        settings = [argument for setting in SETTINGS for argument in ("--set", setting)]
        self.broker = BrokerProcess(self.directory / "data", *settings, command=[*command, "--"])

    def start(self) -> None:
        """The broker, its topics, its clients."""
        self.broker.start()
        admin = AdminClient({"bootstrap.servers": self.broker.bootstrap})
        new = [NewTopic(topic.name, topic.partitions, 1, config=dict(topic.config)) for topic in TOPICS]
        for created in admin.create_topics(new).values():
            created.result(15)
        self.workers = self._crew()
        for worker in self.workers:
            if not isinstance(worker, Disturber):
                worker.resumes_s = self.resumes_s
            worker.start()
        self.await_progress()

    def cycles(self, count: int) -> None:
        """Load and one fault, *count* times; every worker has to get something done after each."""
        began = time.monotonic()
        for number in range(1, count + 1):
            self.load(self.random.uniform(0.1, 0.6))
            name = self.random.choices(("kill", "freeze", "restart"), (12, 3, 1))[0]
            self.fault(name)
            if not self.await_progress():
                return
            elapsed = time.monotonic() - began
            if count >= 20:
                self.say(
                    f"cycle {number}/{count} {name} acknowledged={sum(worker.progress for worker in self.workers)} "
                    f"elapsed={elapsed:.0f}s eta={elapsed / number * (count - number):.0f}s"
                )
        self.load(0.3)

    def load(self, seconds: float) -> None:
        """Lets the clients work; compaction and retention run meanwhile."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.broker.clean()
            time.sleep(min(0.2, max(0.0, end - time.monotonic())))

    def fault(self, name: str) -> None:
        """Kills and starts, freezes and thaws, or stops and starts the broker."""
        operation = self.history.invoke("killer", Fault(name))
        match name:
            case "kill":
                self.broker.kill()
                time.sleep(self.random.choice((0, 0, 0.05, 0.3)))
                self.broker.start()
            case "freeze":
                self.broker.freeze()
                time.sleep(self.random.uniform(0.05, 1.0))
                self.broker.thaw()
            case _:
                self.broker.restart()
        self.history.complete(operation, "ok")

    def await_progress(self) -> bool:
        """Until every worker has got something done, or had its time; whether all have."""
        before = {worker: worker.progress for worker in self.workers if not isinstance(worker, Disturber)}
        end = time.monotonic() + self.resumes_s + 0.5
        while waiting := [worker.name for worker, count in before.items() if worker.progress == count]:
            failed = next((worker for worker in self.workers if worker.failure is not None), None)
            if failed is not None:
                raise AssertionError(f"{failed.name} failed") from failed.failure
            if time.monotonic() > end:
                self.say(f"no progress of {', '.join(waiting)}")
                return False
            time.sleep(0.01)
        return True

    def finish(self) -> list[Finding]:
        """Stops the clients, looks at what is left, stops the broker, and checks."""
        lookers = [worker for worker in self.workers if isinstance(worker, GroupWatcher | Watcher)]
        for crew in ([worker for worker in self.workers if worker not in lookers], lookers):
            for worker in crew:
                worker.stop()
            for worker in crew:
                worker.join()
        for worker in self.workers:
            if worker.failure is not None:
                raise AssertionError(f"{worker.name} failed") from worker.failure
        # Nobody writes any more: what is left of the dirt is compacted.
        self.load(0.4)
        with contextlib.suppress(*GONE):
            self._watcher.disconnect()
            self._watcher.look()
            self._watcher.dump()
        self._watcher.disconnect()
        self.broker.stop()
        self.history.close()
        return findings(read_history(self.history.path))

    def close(self) -> None:
        """Ends everything, however it stands."""
        for worker in self.workers:
            worker.stop()
        self.broker.close()
        for worker in self.workers:
            worker.join()
        self.history.close()

    def figures(self) -> Figures:
        return figures(list(read_history(self.history.path)))

    def _crew(self) -> list[Worker]:
        history, address, seed = self.history, self.broker.bootstrap, self.seed
        self._watcher = Watcher("watcher", history, address, seed, topics=TOPICS)
        reads: Sequence[Topic] = (PLAIN, CHANGES, COMPACTED, RETAINED)
        makers: dict[str, Callable[[], list[Worker]]] = {
            "producer": lambda: [
                IdempotentProducer("producer", history, address, seed, topics=(PLAIN, DURABLE, COMPACTED, RETAINED))
            ],
            "changer": lambda: [
                TransactionalProducer(
                    "changer", history, address, seed, topic=CHANGES, looks_inside=True, succeeded=False
                ),
                TransactionalProducer(
                    "succeeded", history, address, seed, topic=CHANGES, looks_inside=False, succeeded=True
                ),
            ],
            "copier": lambda: [Copier("copier", history, address, seed, source=PLAIN, target=COPIES)],
            "repeater": lambda: [
                Repeater("repeater", history, address, seed, place="plain-0", group="bare", is_transactional=False),
                Repeater("repeater-tx", history, address, seed, place="changes-0", group="bare", is_transactional=True),
            ],
            "reader": lambda: [
                PlaceReader("committed", history, address, seed, topics=TOPICS, isolation="committed"),
                PlaceReader("uncommitted", history, address, seed, topics=TOPICS, isolation="uncommitted"),
            ],
            "member": lambda: [
                GroupMember("classic", history, address, seed, group="classic", topics=reads, protocol="classic"),
                GroupMember("next", history, address, seed, group="next", topics=reads, protocol="consumer"),
            ],
            "groups": lambda: [
                GroupWatcher(
                    "groups", history, address, seed, groups=("copier", "bare", "classic", "next"), topics=TOPICS
                )
            ],
            "watcher": lambda: [self._watcher],
            "disturber": lambda: [Disturber("disturber", history, address, seed, place="plain-0")],
        }
        return [worker for role, make in makers.items() if self.only is None or role in self.only for worker in make()]


def figures(events: Sequence[Invoked | Completed]) -> Figures:
    """Counted from a history."""
    all_operations = operations(events)
    acknowledged = sum(each.outcome == "ok" and isinstance(each.action, Send) for each in all_operations)
    ends = Counter(
        each.action.committed for each in all_operations if isinstance(each.action, End) and each.outcome == "ok"
    )
    faults = Counter(each.action.name for each in all_operations if isinstance(each.action, Fault))
    return Figures(acknowledged, ends[True], ends[False], dict(faults), events[-1].at - events[0].at)
