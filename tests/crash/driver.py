"""
Starts the service, feeds it, waits for its death, starts it again, and reads what is left.

Processes are forked from one that has everything imported already (multiprocessing's fork server), so that a cycle
takes tenths of a second. The driver holds the embedded broker's `users.lock` like a service, which keeps the broker
running from cycle to cycle, whoever has started it.
"""

import fcntl
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Final

from eventbus.transport.partitioning import SLOTS
from tests.crash.checker import Told, behind, faults_at_any_moment, faults_at_rest
from tests.crash.cycles import cycles
from tests.crash.kill_points import KillPlan
from tests.crash.parts import Part
from tests.crash.service import SERVICE, Message, ServiceSettings, main
from tests.crash.world import World, end_transactions, outbox, read_world

ACCOUNTS: Final = 12
DIES_SECONDS_MAX: Final = 30.0
RESTS_SECONDS_MAX: Final = 30.0
_PAUSE_SECONDS: Final = 0.02

forks: Final = multiprocessing.get_context("forkserver")
# Of one process, whatever it is that a test forks: the last list that is given is the one that counts.
forks.set_forkserver_preload(
    ["pytest", "tests.crash.service", "tests.crash.outbox_process", "tests.crash.parking.worker"]
)


class Crash:
    """One directory with a log and a database, the load, and everything that was answered."""

    def __init__(self, directory: Path, database_url: str, seed: int, cluster_url: str | None = None) -> None:
        """*cluster_url*: the log's, `kafka://…`; None: an embedded broker in *directory*."""
        self.directory = directory
        self.random = random.Random(seed)
        self.told = Told()
        self.kill_log = directory / "kills.log"
        self._cluster_url = cluster_url
        # A cluster takes longer to begin with, and the places are those of the framework, not of the log.
        self.cycles = cycles(10 if cluster_url is None else 2)
        self.settled_seconds = 0.8 if cluster_url is None else 2.0
        self._named: dict[int, Service] = {}
        self.settings = ServiceSettings(cluster_url or f"embedded:{directory}", database_url, directory / "service.log")

    @property
    def bootstrap(self) -> str:
        """The cluster's address, or the embedded broker's: it keeps its port."""
        if self._cluster_url is not None:
            return self._cluster_url.removeprefix("kafka://")
        return f"127.0.0.1:{int((self.directory / 'broker.port').read_text())}"

    @property
    def words(self) -> str:
        """The last of what the services have said."""
        path = self.settings.words
        return "\n".join(path.read_text(errors="replace").splitlines()[-60:]) if path.exists() else ""

    def kills(self) -> list[str]:
        """The lines that killed processes have left, one each."""
        return self.kill_log.read_text().splitlines() if self.kill_log.exists() else []

    def note(self, kill: str) -> None:
        """A line for a kill from outside."""
        with self.kill_log.open("a", encoding="utf-8") as log:
            log.write(kill + "\n")

    def named(self, service: "Service") -> ServiceSettings:
        """
        Its settings: on a cluster with the first name that no living process has, as the embedded broker gives them.
        Whoever comes after one that was killed has its partitions at once.
        """
        if self._cluster_url is None:
            return self.settings
        number = next(number for number in count() if number not in self._named or not self._named[number].is_alive)
        self._named[number] = service
        return replace(self.settings, instance_id=f"accounts-{number}")

    def plan(self, point: str, occurrence: int) -> KillPlan:
        return KillPlan(point, occurrence, self.kill_log)

    def plan_to_freeze(self, point: str) -> KillPlan:
        """SIGSTOP at the first occurrence, when nothing else goes on in the process."""
        return KillPlan(point, 1, self.kill_log, signal.SIGSTOP, settled_seconds=self.settled_seconds)

    def new_commands(self, count: int) -> list[tuple[str, str, int]]:
        """Commands that were never sent, with numbers that no other has."""
        commands: list[tuple[str, str, int]] = []
        for _ in range(count):
            number = len(self.told.sent) + 1
            self.told.sent[f"c-{number}"] = number
            commands.append((f"c-{number}", self._account(number), number))
        return commands

    def unacknowledged(self) -> list[tuple[str, str, int]]:
        """Commands whose receipt was never seen: they are sent again under the same id."""
        return [
            (id, self._account(number), number)
            for id, number in self.told.sent.items()
            if id not in self.told.acknowledged
        ]

    def world(self) -> World:
        return read_world(self.bootstrap, self.settings.database_url)

    def faults(self) -> list[str]:
        """What a kill has left, before anything goes on but what the broker would do by itself."""
        end_transactions(self.bootstrap, [f"eventbus.{SERVICE}.{slot}" for slot in range(SLOTS)])
        return faults_at_any_moment(self.world(), self.told)

    def assert_sound(self) -> None:
        """There are no such faults."""
        faults = self.faults()
        assert not faults, "\n".join([*faults, *self.kills()[-1:], self.words])
        self.doubt()

    def doubt(self) -> None:
        """A relay has died: whether the events in the outbox are in the log, its successor cannot know."""
        self.told.in_doubt.update(outbox(self.settings.database_url))

    def assert_sound_at_rest(self) -> World:
        """Waits until nothing is left to do, then checks everything."""
        deadline = time.monotonic() + RESTS_SECONDS_MAX
        while True:
            world = self.world()
            faults = faults_at_rest(world, self.told)
            if not faults:
                return world
            assert time.monotonic() < deadline, "\n".join([*faults, self.words])
            time.sleep(5 * _PAUSE_SECONDS)

    def await_consumed(self) -> None:
        """Waits until every consumer has come to the end of its topics, right or wrong."""
        deadline = time.monotonic() + RESTS_SECONDS_MAX
        while left := [*(world := self.world()).outbox, *behind(world)]:
            assert time.monotonic() < deadline, "\n".join([*left, self.words])
            time.sleep(5 * _PAUSE_SECONDS)

    def await_sound(self) -> None:
        """What a kill has left, beside a process that goes on: what is under way at one look is done at the next."""
        deadline = time.monotonic() + RESTS_SECONDS_MAX
        while faults := faults_at_any_moment(self.world(), self.told):
            assert time.monotonic() < deadline, "\n".join([*faults, self.words])
            time.sleep(_PAUSE_SECONDS)

    def started(self, plan: KillPlan | None = None, *, part: Part = "all", breaks: Sequence[str] = ()) -> "Service":
        """A process of the service, which has been sent what nobody has acknowledged."""
        service = Service(self, plan, part, breaks)
        service.send(self.unacknowledged())
        return service

    @contextmanager
    def service(
        self, plan: KillPlan | None = None, *, part: Part = "all", breaks: Sequence[str] = ()
    ) -> "Iterator[Service]":
        """Such a process, ended with the block, however it stands then."""
        service = self.started(plan, part=part, breaks=breaks)
        try:
            yield service
        finally:
            service.end()

    @contextmanager
    def process(self, plan: KillPlan | None = None) -> "Iterator[Service]":
        """A process that has been told nothing yet, ended with the block."""
        process = Service(self, plan)
        try:
            yield process
        finally:
            process.end()

    @contextmanager
    def projector(self) -> "Iterator[Service]":
        """A process that has the views alone, ended with the block, however it stands then."""
        projector = Service(self, None, "views")
        projector.send([])
        try:
            yield projector
        finally:
            projector.end()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keeps the embedded broker running for the time of a block; a cluster keeps itself."""
        if self._cluster_url is not None:
            yield
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        keeper = os.open(self.directory / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(keeper, fcntl.LOCK_SH)
        try:
            yield
        finally:
            os.close(keeper)

    @staticmethod
    def _account(number: int) -> str:
        return f"a-{number % ACCOUNTS}"


class Service:
    """One process of the service."""

    def __init__(self, crash: Crash, plan: KillPlan | None, part: Part = "all", breaks: Sequence[str] = ()) -> None:
        self._crash = crash
        self._plan = plan
        self._kills_before = len(crash.kills())
        self._pipe, theirs = forks.Pipe()
        given = (crash.named(self), part, plan, list(breaks), theirs)
        self._process = forks.Process(target=main, args=given, daemon=True)
        self._process.start()
        theirs.close()
        self._partitions: list[list[int]] = []
        self.rebuilt: list[tuple[object, ...]] = []
        self.failures: list[str] = []
        self.is_ready = False

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def tell(self, *message: object) -> None:
        """A message for the process; nothing when it is dead."""
        try:
            self._pipe.send(message)
        except (BrokenPipeError, ConnectionResetError):
            return

    def send(self, commands: Sequence[tuple[str, str, int]]) -> None:
        self.tell("send", list(commands))

    def hear(self, seconds: float = _PAUSE_SECONDS) -> bool:
        """Takes what the process answers within that time; False when it is dead and has nothing more to say."""
        deadline = time.monotonic() + seconds
        while self._pipe.poll(max(0.0, deadline - time.monotonic())):
            try:
                self._take(self._pipe.recv())
            except (EOFError, ConnectionResetError):
                return False
        return True

    def _take(self, message: Message) -> None:
        match message:
            case ("receipt", str(id), list(events)):
                self._crash.told.acknowledged[id] = [str(event) for event in events]
            case ("failed", str(id), str(text)):
                self.failures.append(f"{id}: {text}")
            case ("partitions", list(counts)):
                self._partitions.append(counts)
            case ("rebuilt", *result):
                self.rebuilt.append(tuple(result))
            case ("ready",):
                self.is_ready = True
            case _:
                pass

    def feed_until_dead(self, *, burst_max: int = 25) -> None:
        """Sends bursts of new commands until the process has died where its plan says; fails when it does not."""
        deadline = time.monotonic() + DIES_SECONDS_MAX
        while self.hear(self._crash.random.uniform(0, 4 * _PAUSE_SECONDS)):
            assert time.monotonic() < deadline, f"{self._plan} was not reached:\n{self._crash.words}"
            if len(self._crash.unacknowledged()) < 2 * burst_max:
                self.send(self._crash.new_commands(self._crash.random.randint(1, burst_max)))
        self.assert_killed()

    def wait_until_dead(self) -> None:
        """As `feed_until_dead`, without feeding."""
        deadline = time.monotonic() + DIES_SECONDS_MAX
        while self.hear():
            assert time.monotonic() < deadline, f"{self._plan} was not reached:\n{self._crash.words}"
        self.assert_killed()

    def assert_killed(self) -> None:
        """It died by the signal, and has left the line that says where."""
        self._process.join(5)
        said = self._crash.kills()[self._kills_before :]
        words = self._crash.words
        assert self._process.exitcode == -signal.SIGKILL, f"{self._plan}: exit code {self._process.exitcode}\n{words}"
        assert [line.startswith(f"{self._plan} pid {self.pid}") for line in said] == [True], f"{self._plan}: {said}"

    def feed(self, seconds: float, *, burst_max: int = 25) -> None:
        """Sends bursts of new commands for that time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            assert self.hear(min(left, self._crash.random.uniform(0, 4 * _PAUSE_SECONDS))), self._crash.words
            if len(self._crash.unacknowledged()) < 2 * burst_max:
                self.send(self._crash.new_commands(self._crash.random.randint(1, burst_max)))

    def partitions(self) -> list[int]:
        """How many partitions each of its consumers has now: handlers, account_summaries, journal; 0 for none yet."""
        self._partitions.clear()
        self.tell("partitions")
        deadline = time.monotonic() + RESTS_SECONDS_MAX
        while not self._partitions:
            assert self.hear(), f"the service has died:\n{self._crash.words}"
            assert time.monotonic() < deadline, f"no answer:\n{self._crash.words}"
        return self._partitions[0]

    @property
    def is_frozen(self) -> bool:
        """It has left the line of its plan, and stopped there."""
        return any(line.startswith(f"{self._plan} pid {self.pid}") for line in self._crash.kills())

    def await_frozen(self, idle: Callable[[], None] = lambda: None) -> None:
        """Returns when the process has stopped where its plan says; *idle* is called again and again till then."""
        deadline = time.monotonic() + DIES_SECONDS_MAX
        while not self.is_frozen:
            assert self.hear(), f"the service has died:\n{self._crash.words}"
            assert time.monotonic() < deadline, f"{self._plan} was not reached:\n{self._crash.words}"
            idle()

    def feed_until_frozen(self, other: "Service") -> None:
        """Sends bursts through *other*, with silence between them, until this process has stopped by its plan."""
        next_burst = 0.0

        def feed() -> None:
            nonlocal next_burst
            if time.monotonic() > next_burst:
                next_burst = time.monotonic() + 2.5 * self._crash.settled_seconds
                other.send(self._crash.new_commands(2 * ACCOUNTS))

        self.await_frozen(feed)

    def thaw(self) -> None:
        """Lets a frozen process go on where it was."""
        os.kill(self.pid, signal.SIGCONT)

    def words(self, *, saying: str) -> list[str]:
        """The lines of this process that say that."""
        lines = self._crash.settings.words.read_text(errors="replace").splitlines()
        return [line for line in lines if f" {self.pid} " in line and saying in line]

    def await_words(self, saying: str) -> None:
        """Returns when the process has said that."""
        deadline = time.monotonic() + RESTS_SECONDS_MAX
        while not self.words(saying=saying):
            assert self.hear(), f"the service has died:\n{self._crash.words}"
            assert time.monotonic() < deadline, f"{saying!r} was not said:\n{self._crash.words}"

    def await_receipts(self, seconds: float = RESTS_SECONDS_MAX) -> None:
        """Returns when every command has been acknowledged."""
        deadline = time.monotonic() + seconds
        while self._crash.unacknowledged():
            assert self.hear(), f"the service has died:\n{self._crash.words}"
            assert time.monotonic() < deadline, "\n".join(
                [f"{len(self._crash.unacknowledged())} commands without a receipt", *self.failures, self._crash.words]
            )

    def stop(self) -> None:
        """A clean stop; fails when it is not one."""
        self.tell("stop")
        while self.hear():
            pass
        self._process.join(15)
        assert self._process.exitcode == 0, f"exit code {self._process.exitcode}\n{self._crash.words}"

    def await_ready(self) -> None:
        """Returns when the application runs."""
        deadline = time.monotonic() + RESTS_SECONDS_MAX
        while not self.is_ready:
            assert self.hear(), f"the service has died:\n{self._crash.words}"
            assert time.monotonic() < deadline, f"not ready:\n{self._crash.words}"

    def kill(self) -> None:
        """SIGKILL from outside, wherever it is."""
        self._crash.note(f"any moment pid {self.pid}")
        os.kill(self.pid, signal.SIGKILL)
        while self.hear():
            pass
        self._process.join(5)

    def end(self) -> None:
        """However it stands."""
        if self._process.is_alive():
            self._process.kill()
            self._process.join(5)
        self._pipe.close()
