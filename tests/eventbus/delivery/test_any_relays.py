"""Outbox, slots and relays under any history of writers, relays and absences, against what was committed."""

import asyncio
from dataclasses import dataclass, field
from typing import Literal

import anyio
from anyio.abc import TaskGroup
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventbus.database import BlockedRows, Database, Migrations, Outbox, SlotLeases
from eventbus.delivery import Relay
from eventbus.testing.contracts.relay import add, row, rows_are, until
from eventbus.testing.contracts.transactional_producer import committed
from eventbus.transport import OutgoingRecord
from eventbus.transport.memory import MemoryLog, MemoryTransport

KEYS = ("a", "b", "c", "d", "e")
TOPICS = ("orders", "made-later")


@dataclass(frozen=True)
class Write:
    """A transaction with an event for each of these keys, the first of which the log may refuse for now."""

    topic: Literal["orders", "made-later"]
    keys: list[str]
    is_committed: bool
    is_refused: bool


@dataclass(frozen=True)
class Start:
    """A relay of this name: one of the same name that runs already is a zombie from now on."""

    holder: Literal["one", "two"]


@dataclass(frozen=True)
class Stop:
    """The relay that was started so many starts ago ends cleanly."""

    back: int


Step = Write | Start | Stop | Literal["the log goes away", "the log comes back", "the topic is made", "a moment"]

writes = st.builds(
    Write,
    st.sampled_from(("orders", "orders", "made-later")),
    st.lists(st.sampled_from(KEYS), min_size=1, max_size=6),
    st.sampled_from((True, True, False)),
    st.sampled_from((False, False, False, True)),
)
starts = st.builds(Start, st.sampled_from(("one", "two")))
histories: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        writes,
        writes,
        starts,
        st.builds(Stop, st.integers(0, 2)),
        st.sampled_from(("the log goes away", "the log comes back", "the topic is made", "a moment")),
    ),
    min_size=4,
    max_size=20,
)


class PickyLog(MemoryLog):
    """Refuses some records, until it is told not to."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[bytes] = set()

    def _fault(self, record: OutgoingRecord) -> str | None:
        return "not now" if record.value in self.refused else super()._fault(record)


@dataclass
class World:
    """One service's outbox, and a log in memory; `written` is the model: what was committed, by topic and key."""

    database: Database
    tasks: TaskGroup
    log: PickyLog = field(default_factory=PickyLog)
    relays: list[Relay] = field(default_factory=list[Relay])
    written: dict[tuple[str, str], list[int]] = field(default_factory=dict[tuple[str, str], list[int]])
    number: int = 0
    repeats_are_allowed: bool = False

    @property
    def transport(self) -> MemoryTransport:
        return MemoryTransport(self.log)

    async def do(self, step: Step) -> None:
        match step:
            case Write(topic, keys, is_committed, is_refused):
                if is_refused:
                    self.log.refused.add(b"%d" % self.number)
                await self.write(topic, keys, is_committed)
            case Start(holder):
                await self.start(holder)
            case Stop(back):
                if self.relays:
                    await self.relays.pop(-1 - back % len(self.relays)).stop()
            case "the log goes away":
                self.log.stop()
            case "the log comes back":
                self.log.start()
            case "the topic is made":
                self.log.make_topics({"made-later": 2})
            case "a moment":
                await anyio.sleep(0.02)

    async def write(self, topic: str, keys: list[str], is_committed: bool) -> None:
        rows = [row(topic, self.number + at, key=key) for at, key in enumerate(keys)]
        if not is_committed:
            try:
                async with self.database.transaction() as connection:
                    await Outbox().add(connection, rows)
                    raise RuntimeError("rolled back")
            except RuntimeError:
                return
        await add(self.database, rows)
        for at, key in enumerate(keys):
            self.written.setdefault((topic, key), []).append(self.number + at)
        self.number += len(keys)
        for relay in self.relays:
            relay.wake()

    async def start(self, holder: str) -> None:
        # A relay that another has taken the slots from, or that gives up a batch while the log is away, may have
        # published what its successor publishes again.
        self.repeats_are_allowed = self.repeats_are_allowed or bool(self.relays)
        relay = Relay(
            self.database,
            Outbox(),
            SlotLeases(),
            self.transport,
            holder,
            service="shop",
            lease_seconds=0.5,
            poll_seconds=0.02,
            shutdown_seconds=0.2,
        )
        self.relays.append(relay)
        await self.tasks.start(relay.run)

    async def heal(self) -> None:
        """One relay over a log that is there, with the topics that are wanted: everything has to arrive."""
        self.log.start()
        self.log.make_topics({"made-later": 2})
        self.log.refused.clear()
        while self.relays:
            await self.relays.pop().stop()
        await self.start("last")
        async with self.database.transaction() as connection:
            blocked = [one.blocked.sequence for one in await BlockedRows().list(connection)]
            await BlockedRows().retry(connection, blocked, row("orders", 0).created_at)
        await until(lambda: rows_are(self.database, 0))
        await self.relays.pop().stop()

    async def check(self) -> None:
        found: dict[tuple[str, str], list[int]] = {}
        for topic in TOPICS:
            for record in await committed(self.transport, topic):
                found.setdefault((topic, (record.key or b"").decode()), []).append(int(record.value or b"-1"))
        assert {place: list(dict.fromkeys(numbers)) for place, numbers in found.items()} == self.written
        if not self.repeats_are_allowed:
            assert found == self.written


async def lived_through(history: list[Step]) -> None:
    database = Database.from_url("memory:")
    await Migrations(database).prepare()
    async with anyio.create_task_group() as tasks:
        world = World(database, tasks)
        world.log.make_topics({"orders": 3})
        await world.start("one")
        for step in history:
            await world.do(step)
            # The relays' turn, for some of what they have to do.
            await anyio.sleep(0.005)
        with anyio.fail_after(30):
            await world.heal()
        await world.check()
    await database.aclose()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories)
def test_whatever_happens_every_committed_row_is_published_in_order_per_key(history: list[Step]) -> None:
    """Nothing that was rolled back is; repeats come only from a successor, and bring no order of their own."""
    asyncio.run(lived_through(history))
