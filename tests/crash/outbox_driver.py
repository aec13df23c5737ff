"""
Starts processes that write entries and relay them, kills and freezes them, and checks what is left.

The processes share a database, a topic and the slots of one service; the log is the session's and lives on.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from eventbus.database import Database
from eventbus.transport import KafkaTransport
from tests.crash.driver import forks
from tests.crash.entries import KEYS, make_tables
from tests.crash.kill_points import KillPlan
from tests.crash.outbox_process import OutboxSettings, main
from tests.crash.outbox_world import OutboxWorld, look, outbox_faults, outbox_faults_at_rest, read_outbox_world
from tests.servers.logs import Log

PARTITIONS: Final = 3
LEASE_SECONDS: Final = 2.0
SOUND_SECONDS_MAX: Final = 30.0
SETTLED_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.05


class Ledger:
    """One service: its directory, database and topic, its processes, and how often each event may be repeated."""

    def __init__(self, directory: Path, database_url: str, log: Log, seed: int) -> None:
        self.directory = directory
        self.random = random.Random(seed)
        self.bootstrap = log.bootstrap
        self.database_url = database_url
        self.topic = f"entries-{seed}-{time.time_ns() % 10**9}"
        self.in_doubt: Counter[str] = Counter()
        self.kill_log = directory / "kills.log"
        self._words = directory / "service.log"
        self._holders = 0
        asyncio.run(self._prepare(log.topic_options))

    async def _prepare(self, topic_options: Mapping[str, str]) -> None:
        database = Database.from_url(self.database_url)
        await make_tables(database)
        await database.aclose()
        transport = KafkaTransport(self.bootstrap, topic_options=topic_options)
        await transport.start()
        await transport.ensure_topics({self.topic: PARTITIONS})
        await transport.aclose()

    @property
    def words(self) -> str:
        """The last of what the processes have said."""
        return "\n".join(self._words.read_text(errors="replace").splitlines()[-60:]) if self._words.exists() else ""

    def words_of(self, pid: int) -> list[str]:
        return [line for line in self._words.read_text(errors="replace").splitlines() if f" {pid} " in line]

    def kills(self) -> list[str]:
        """The lines that killed and frozen processes have left, one each."""
        return self.kill_log.read_text().splitlines() if self.kill_log.exists() else []

    def pause(self, least_seconds: float, most_seconds: float) -> None:
        time.sleep(self.random.uniform(least_seconds, most_seconds))

    def new_holder(self) -> str:
        self._holders += 1
        return f"relay-{self._holders}"

    def plan(self, point: str, occurrence: int) -> KillPlan:
        return KillPlan(point, occurrence, self.kill_log)

    def plan_to_freeze(self, point: str) -> KillPlan:
        return KillPlan(point, 1, self.kill_log, signal.SIGSTOP, settled_seconds=SETTLED_SECONDS)

    @contextmanager
    def member(
        self,
        holder: str | None = None,
        plan: KillPlan | None = None,
        breaks: Sequence[str] = (),
        lease_seconds: float = LEASE_SECONDS,
    ) -> "Generator[Member]":
        """A process, ended with the block, however it stands then."""
        member = Member(self, holder or self.new_holder(), plan, breaks, lease_seconds)
        try:
            yield member
        finally:
            member.end()

    def doubt(self, holder: str) -> None:
        """Whether what waits in the slots of that relay is in the log, nobody knows now that it has died."""
        tables = look(self.database_url)
        self.in_doubt.update(id for id, slot in tables.waiting.items() if tables.slots.get(slot) == holder)

    def world(self) -> OutboxWorld:
        return read_outbox_world(self.bootstrap, self.database_url, self.topic)

    def faults(self) -> list[str]:
        return outbox_faults(self.world(), self.in_doubt)

    def assert_sound(self) -> None:
        """What has been published is as promised, whoever goes on."""
        faults = self.faults()
        assert not faults, self.explained(faults)

    def await_rest(self) -> None:
        """Returns when no row waits."""
        deadline = time.monotonic() + SOUND_SECONDS_MAX
        while waiting := look(self.database_url).waiting:
            assert time.monotonic() < deadline, self.explained([f"{len(waiting)} rows wait"])
            time.sleep(_LOOK_SECONDS)

    def assert_sound_at_rest(self) -> OutboxWorld:
        """Waits until nothing is left to do, then checks everything."""
        self.await_rest()
        deadline = time.monotonic() + SOUND_SECONDS_MAX
        while faults := outbox_faults_at_rest(world := self.world(), self.in_doubt):
            assert time.monotonic() < deadline, self.explained(faults)
            time.sleep(_LOOK_SECONDS)
        return world

    def faults_at_rest(self) -> list[str]:
        return outbox_faults_at_rest(self.world(), self.in_doubt)

    def await_equal(self, value: Callable[[], int], expected: int) -> None:
        """Returns when *value* is *expected*; fails when it stays another."""
        deadline = time.monotonic() + SOUND_SECONDS_MAX
        while (found := value()) != expected:
            assert time.monotonic() < deadline, self.explained([f"{found} instead of {expected}"])
            time.sleep(_LOOK_SECONDS)

    def explained(self, faults: Sequence[str]) -> str:
        return "\n".join([*faults, *self.kills()[-3:], self.words])


class Member:
    """One process: writers and a relay."""

    def __init__(
        self, ledger: Ledger, holder: str, plan: KillPlan | None, breaks: Sequence[str], lease_seconds: float
    ) -> None:
        self.holder = holder
        self._ledger = ledger
        self._plan = plan
        settings = OutboxSettings(
            ledger.bootstrap, ledger.database_url, ledger.topic, ledger.directory / "service.log", lease_seconds
        )
        self._pipe, theirs = forks.Pipe()
        self._process = forks.Process(target=main, args=(settings, holder, plan, list(breaks), theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._heard: list[object] = []

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def slots(self) -> list[int]:
        """The slots whose leases are in its name."""
        return [slot for slot, holder in look(self._ledger.database_url).slots.items() if holder == self.holder]

    def await_slots(self, count: int) -> None:
        """Returns when so many leases are in its name."""
        is_there = self.takes_slots(count, SOUND_SECONDS_MAX)
        assert is_there, f"{self.holder} has the slots {self.slots}:\n{self._ledger.words}"

    def takes_slots(self, count: int, seconds: float) -> bool:
        """Whether so many leases come to be in its name in that time."""
        deadline = time.monotonic() + seconds
        while len(self.slots) < count and time.monotonic() < deadline:
            assert self._process.is_alive(), self._ledger.words
            time.sleep(_LOOK_SECONDS)
        return len(self.slots) >= count

    def has_said(self, saying: str) -> bool:
        return self.times_said(saying) > 0

    def times_said(self, saying: str) -> int:
        return sum(saying in line for line in self._ledger.words_of(self.pid))

    def tell(self, *message: object) -> None:
        """A message for the process; nothing when it is dead."""
        try:
            self._pipe.send(message)
        except (BrokenPipeError, ConnectionResetError):
            return

    def write(self, writers: int = 2) -> None:
        self.tell("write", writers)

    def rest(self) -> None:
        """Ends the writers; returns when they have ended."""
        self.tell("rest")
        self.await_answer("resting")

    def await_answer(self, answer: str) -> None:
        deadline = time.monotonic() + SOUND_SECONDS_MAX
        while (answer,) not in self._heard:
            assert self._process.is_alive(), self._ledger.words
            assert time.monotonic() < deadline, f"no {answer!r}:\n{self._ledger.words}"
            if self._pipe.poll(_LOOK_SECONDS):
                self._heard.append(self._pipe.recv())

    def await_killed(self) -> None:
        """Returns when it has died by the signal and has left the line that says where."""
        self._process.join(SOUND_SECONDS_MAX)
        assert self._process.exitcode == -signal.SIGKILL, (
            f"{self._plan} was not reached, exit code {self._process.exitcode}\n{self._ledger.words}"
        )
        assert self._has_left_its_line(), f"{self._plan}: {self._ledger.kills()}"
        self._ledger.doubt(self.holder)

    def kill(self) -> None:
        """SIGKILL from outside, wherever it is."""
        with self._ledger.kill_log.open("a", encoding="utf-8") as log:
            log.write(f"any moment pid {self.pid}\n")
        os.kill(self.pid, signal.SIGKILL)
        self._process.join(5)
        self._ledger.doubt(self.holder)

    def await_share(self, count: int) -> None:
        """Returns when it has left all but so many slots to others."""
        deadline = time.monotonic() + SOUND_SECONDS_MAX
        while len(self.slots) > count:
            assert time.monotonic() < deadline, f"{self.holder} has the slots {self.slots}:\n{self._ledger.words}"
            time.sleep(_LOOK_SECONDS)

    def await_frozen(self, other: "Member") -> None:
        """Lets *other* write in bursts, each for one slot, until this one has stopped where its plan says."""
        other._burst_until_frozen([self], "burst for a slot")

    def write_until_frozen(self, members: "Sequence[Member]") -> None:
        """Writes in bursts for all slots, until those have stopped where their plans say."""
        self._burst_until_frozen(members, "burst")

    def _burst_until_frozen(self, members: "Sequence[Member]", what: str) -> None:
        """With silence between the bursts, in which what else goes on can come to rest."""
        deadline = time.monotonic() + SOUND_SECONDS_MAX
        next_burst = 0.0
        while left := [member for member in members if not member._has_left_its_line()]:
            if time.monotonic() > next_burst:
                next_burst = time.monotonic() + 3 * SETTLED_SECONDS
                self.tell(what, 4 * len(KEYS))
            for member in left:
                assert member._process.is_alive(), self._ledger.words
                assert time.monotonic() < deadline, f"{member._plan} was not reached:\n{self._ledger.words}"
            time.sleep(_LOOK_SECONDS)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def await_words(self, *sayings: str) -> None:
        """Returns when the process has said one of them."""
        deadline = time.monotonic() + SOUND_SECONDS_MAX
        while not any(self.has_said(saying) for saying in sayings):
            assert self._process.is_alive(), self._ledger.words
            assert time.monotonic() < deadline, f"none of {sayings} was said:\n{self._ledger.words}"
            time.sleep(_LOOK_SECONDS)

    def stop(self) -> None:
        """A clean stop; fails when it is not one."""
        self.tell("stop")
        self._process.join(SOUND_SECONDS_MAX)
        assert self._process.exitcode == 0, f"exit code {self._process.exitcode}\n{self._ledger.words}"

    def end(self) -> None:
        """However it stands."""
        if self._process.is_alive():
            self._process.kill()
            self._process.join(5)
        self._pipe.close()

    def _has_left_its_line(self) -> bool:
        return any(line.startswith(f"{self._plan} pid {self.pid}") for line in self._ledger.kills())
