"""
Whole applications on a real broker and SQLite, for the time of one test: what the fixture `event_bus` gives.

    @pytest.mark.anyio
    async def test_an_order_is_paid(event_bus: RunningEventBus) -> None:
        await event_bus.start(app)
        await event_bus.send(PlaceOrder(order_id="o-1", total=Decimal(5)))
        await event_bus.until_settled()
        assert [type(event) for event in await event_bus.events("payments")] == [PaymentReceived]

Isolation   one broker serves a whole run of pytest; topics, groups and transactional ids have names of their own in
            each test, and each service has a database file in the test's directory
The loop    everything runs on the event loop of the test, and ends with it. In a test that is no coroutine:
            `async with event_bus:` in what `asyncio.run` is given
"""

import asyncio
import functools
import inspect
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from eventbus.application import Application
from eventbus.clock import Clock
from eventbus.database import Database
from eventbus.errors import BrokerUnavailable, DefinitionError
from eventbus.messages import Command, Envelope, Event, Query, Receipt
from eventbus.testing.own_names import OwnNames
from eventbus.testing.settled import unsettled
from eventbus.testing.virtual_clock import VirtualClock
from eventbus.transport import KafkaTransport
from eventbus.transport.port import IncomingRecord, TopicPartition

R = TypeVar("R")

# A partition is known to be at its end when a fetch there comes back empty, which takes half a second by default.
_OPTIONS: Final = {"fetch.wait.max.ms": "20"}
_PAUSE_SECONDS: Final = 0.01
_START_SECONDS_MAX: Final = 20.0
_VIRTUAL_SHUTDOWN_SECONDS: Final = 1.0
_STILL_SECONDS: Final = 0.05
"""Nothing has moved for so long: what is left waits for its clock."""


@dataclass(slots=True)
class _Started:
    app: Application
    task: asyncio.Task[None]
    stopping: asyncio.Event


class RunningEventBus:
    """
    address     `HOST:PORT` of a broker
    directory   for the databases of this test
    partitions  of the topics that are made
    """

    def __init__(self, address: str, directory: Path, *, partitions: int = 3) -> None:
        self._address = address
        self._directory = directory
        self._partitions = partitions
        self._prefix = f"test-{uuid.uuid4().hex[:12]}."
        self._started: list[_Started] = []
        self._looking: OwnNames | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def apps(self) -> list[Application]:
        """Those that run."""
        return [one.app for one in self._started]

    async def start(self, app: Application, *, clock: Clock | None = None) -> Application:
        """
        Runs an application of *app*'s definition on this test's log and a database of its own, and answers it when all
        its consumers are at work. *app* itself is not touched, so it may be the one of the service's module.

        Started again after `stop`, it goes on with the data that it had; twice at the same time, it is two instances
        of one service. With *clock* it goes by that, such as a `VirtualClock`; several may share one.

        Raises what its start raises; TimeoutError, with what it waits for.
        """
        database = Database.from_url(f"sqlite:///{self._directory / f'{app.name}.sqlite3'}")
        moved = app.moved(
            self._transport,
            database,
            clock=clock,
            partitions=self._partitions,
            # Who waits for a clock that stands still would be waited for in vain.
            shutdown_seconds=_VIRTUAL_SHUTDOWN_SECONDS if isinstance(clock, VirtualClock) else None,
        )
        stopping = asyncio.Event()
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # In a task of its own: a test may start one inside of a timeout and leave that before it stops the service.
        task = asyncio.create_task(_run(moved, entered, stopping), name=f"event_bus {app.name}")
        started = _Started(moved, task, stopping)
        self._started.append(started)
        try:
            await entered
            await self._until_ready(moved)
        except BaseException:
            await self._end(started)
            raise
        return moved

    async def stop(self, app: Application) -> None:
        """Stops what `start` has answered, as a service is stopped by SIGTERM; its data stay."""
        for started in [one for one in self._started if one.app is app]:
            await self._end(started)

    async def aclose(self) -> None:
        """Stops everything, the last started first."""
        for started in reversed(self._started):
            await self._end(started)
        looking, self._looking = self._looking, None
        if looking is not None:
            await looking.aclose()

    async def send(self, command: Command, *, id: str | None = None) -> Receipt:
        """Sends it to the application that handles it; see `Application.send`. Raises LookupError when none does."""
        handling = [app for app in self.apps if type(command) in app.model.handlers.commands]
        return await self._one(handling, command).send(command, id=id)

    async def ask(self, query: Query[R], *, at_least: Receipt | None = None, timeout: float = 5.0) -> R:
        """Asks the application that answers it; see `Application.ask`. Raises LookupError when none does."""
        answering = [app for app in self.apps if type(query) in app.model.handlers.queries]
        return await self._one(answering, query).ask(query, at_least=at_least, timeout=timeout)

    async def until_settled(self, *, timeout: float = 10.0) -> None:
        """
        Returns when nothing is left to do: outboxes are empty, every handler and projection is at the log's end, and so
        is whatever they have led to. Events that are parked behind a dead letter count as done. When all that is left
        waits for a `VirtualClock`, that is turned to where the next of them is due.

        Raises TimeoutError after *timeout* seconds, with what is left.
        """
        looking = await self._look()
        left: list[str] = []
        turning = _Turning({app.clock for app in self.apps if isinstance(app.clock, VirtualClock)})

        async def is_settled() -> bool:
            nonlocal left
            try:
                left = await unsettled(self.apps, looking)
            except BrokerUnavailable as error:
                left = [str(error)]
            if left:
                turning.look(left)
            return not left

        await _poll(is_settled, timeout, lambda: "; ".join(left))

    async def until(self, condition: Callable[[], bool | Awaitable[bool]], *, timeout: float = 10.0) -> None:
        """Returns as soon as *condition*, asked every 10 ms, holds. Raises TimeoutError after *timeout* seconds."""

        async def holds() -> bool:
            answer = condition()
            return await answer if inspect.isawaitable(answer) else answer

        await _poll(holds, timeout, lambda: f"{getattr(condition, '__qualname__', repr(condition))} does not hold")

    async def events(self, topic: str) -> list[Event]:
        """
        What is in *topic* now, oldest first, as the classes of the service that wrote it, if it runs, else of one that
        reads it; a type that none of them knows is left out. Raises UndecodableMessage.
        """
        records = await self._records(topic)
        return [event for record in records if (event := self._decode(record)) is not None]

    def _transport(self) -> OwnNames:
        return OwnNames(KafkaTransport(self._address, _OPTIONS, client_id="event_bus"), self._prefix)

    async def _look(self) -> OwnNames:
        if self._looking is None:
            self._looking = self._transport()
            await self._looking.start()
        return self._looking

    async def _records(self, topic: str) -> list[IncomingRecord]:
        looking = await self._look()
        found = (await looking.describe([topic])).topics.get(topic)
        held = {} if found is None else {TopicPartition(topic, n): held for n, held in enumerate(found.partitions)}
        left = {partition: one.start for partition, one in held.items() if one.start < one.end}
        records: list[IncomingRecord] = []
        reader = looking.reader(left)
        try:
            while any(left[partition] < held[partition].end for partition in left):
                for batch in await reader.read():
                    records += batch.records
                    left[TopicPartition(batch.topic, batch.partition)] = batch.next_offset
        finally:
            await reader.aclose()
        return sorted(records, key=lambda record: (record.timestamp_ms, record.partition, record.offset))

    def _decode(self, record: IncomingRecord) -> Event | None:
        envelope = Envelope.from_headers(record.headers)
        # Who reads another service's event may have a class of its own for it: the writer's goes first.
        for app in sorted(self.apps, key=lambda app: app.name != envelope.source):
            if (event := app.model.types.decode(envelope, record.value)) is not None:
                return event
        return None

    async def _until_ready(self, app: Application) -> None:
        problems = ""

        async def is_ready() -> bool:
            nonlocal problems
            status = await app.status()
            idle = [f"{one['name']} is {one['state']}" for one in status["consumers"] if one["state"] != "running"]
            problems = "; ".join([status["problem"] or "", *idle]).removeprefix("; ")
            return status["ready"]

        await _poll(is_ready, _START_SECONDS_MAX, lambda: f"{app.name} is not ready: {problems}")

    async def _end(self, started: _Started) -> None:
        if started.task.get_loop() is not asyncio.get_running_loop():
            raise DefinitionError(
                f"event_bus: {started.app.name} was started on another event loop than the test's: start it in the "
                "test, or in a fixture with the same loop scope"
            )
        if started in self._started:
            self._started.remove(started)
        started.stopping.set()
        await asyncio.gather(started.task, return_exceptions=True)

    def _one(self, able: list[Application], message: Command | Query[R]) -> Application:
        if not able:
            running = ", ".join(app.name for app in self.apps) or "none is started"
            raise LookupError(f"no application handles {type(message).__qualname__}; running: {running}")
        return able[0]


class _Turning:
    """Turns clocks to whoever waits for them, when for a while there was nothing but waiting."""

    def __init__(self, clocks: set[VirtualClock]) -> None:
        self._clocks = clocks
        self._seen: object = None
        self._since = 0.0

    def look(self, left: list[str]) -> None:
        seen = [left, [clock.waiting for clock in self._clocks]]
        now = time.monotonic()
        if seen != self._seen:
            self._seen, self._since = seen, now
        elif now - self._since > _STILL_SECONDS and (waiting := [clock for clock in self._clocks if clock.waiting]):
            min(waiting, key=lambda clock: clock.waiting[0]).advance_to_next()


async def _run(app: Application, entered: "asyncio.Future[None]", stopping: asyncio.Event) -> None:
    try:
        async with app.lifespan():
            entered.set_result(None)
            await stopping.wait()
    except BaseException as error:
        if entered.done():
            raise
        entered.set_exception(error)


async def _poll(holds: Callable[[], Awaitable[bool]], seconds: float, left: Callable[[], str]) -> None:
    until = asyncio.get_running_loop().time() + seconds
    while not await holds():
        if asyncio.get_running_loop().time() > until:
            raise TimeoutError(f"after {seconds:g} s: {left()}")
        await asyncio.sleep(_PAUSE_SECONDS)


def closing(test: Callable[..., object], bus: object) -> Callable[..., object]:
    """
    *test*, if it is a coroutine function, with `bus.aclose()` at its end; other functions as they are, and with them
    those for which a fixture of the user's own took the name.
    """
    if not (inspect.iscoroutinefunction(test) and isinstance(bus, RunningEventBus)):
        return test

    @functools.wraps(test)
    async def closed(*args: object, **kwargs: object) -> None:
        async with bus:
            await test(*args, **kwargs)

    return closed
