"""
One service: what is found in its modules, checked as a whole, and run over a database and a log.

    app = Application("order-service", modules=[handlers, views])
    api = FastAPI(lifespan=app.lifespan, exception_handlers=http_errors)

Building it opens nothing: settings are read, handlers, aggregates and projections are found, and whatever does not fit
together is one DefinitionError with a line for each fault. `lifespan` (or `run`, without HTTP) does the rest.
"""

import logging
import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from types import ModuleType
from typing import TypeVar, get_args, get_origin

import anyio

from eventbus.application.connection import Connection, MakeTransport, connected, log_of
from eventbus.application.running import Running, running
from eventbus.application.status import ApplicationStatus
from eventbus.bus import Buses, Model
from eventbus.clock import Clock, SystemClock
from eventbus.config import GroupProtocol, load_settings
from eventbus.database import Database
from eventbus.delivery import failure_topics
from eventbus.errors import DefinitionError, InvalidConfiguration
from eventbus.handlers import Faults, Middleware
from eventbus.messages import Command, Event, Query, Receipt
from eventbus.observability import Counters
from eventbus.projections import AnyProjection, View, view_provider, wait_until_applied
from eventbus.store import Transactions

R = TypeVar("R")

_log = logging.getLogger("eventbus")


class Application:
    """
    name      of the service: its consumer group, the source of its events, the name of its default database
    modules   where its handlers, projections, aggregates and upcasters are defined
    provide   what handlers may ask for by type beyond the framework's own: instances, factories, per_message(…)
    middleware
              what is done around every message that is handled, the outermost first
    transport makes a connection to the log, in place of the one that broker_url names: for a log of another kind
    database  in place of the one that database_url names: for a database of another kind
    clock     in place of the machine's: for tests, which turn it
    settings  by keyword, over those of the environment: broker_url, database_url, partitions, …

    Raises InvalidConfiguration, DefinitionError.
    """

    def __init__(
        self,
        name: str,
        *,
        modules: Sequence[ModuleType],
        provide: Sequence[object] = (),
        middleware: Sequence[Middleware] = (),
        transport: MakeTransport | None = None,
        database: Database | None = None,
        clock: Clock | None = None,
        broker_url: str | None = None,
        database_url: str | None = None,
        instance_id: str | None = None,
        group_protocol: GroupProtocol | None = None,
        partitions: int | None = None,
        replication: int | None = None,
        create_topics: bool | None = None,
        shutdown_seconds: float | None = None,
        database_wait_seconds: float | None = None,
        inbox_kept_seconds: float | None = None,
    ) -> None:
        if (transport is not None and broker_url is not None) or (database is not None and database_url is not None):
            raise InvalidConfiguration(
                f"{name}: give transport= or broker_url=, and database= or database_url=, not both"
            )
        self.name = name
        self._modules, self._provide, self._middleware = tuple(modules), tuple(provide), tuple(middleware)
        self.settings = load_settings(
            name,
            broker_url=broker_url,
            database_url=database_url,
            instance_id=instance_id,
            group_protocol=group_protocol,
            partitions=partitions,
            replication=replication,
            create_topics=create_topics,
            shutdown_seconds=shutdown_seconds,
            database_wait_seconds=database_wait_seconds,
            inbox_kept_seconds=inbox_kept_seconds,
        )
        self.clock: Clock = clock or SystemClock()
        self.counters = Counters()
        self._log = log_of(self.settings, transport)
        self.database = database or Database.from_url(
            self.settings.effective_database_url, wait_seconds=self.settings.database_wait_seconds
        )
        faults = Faults()
        self.projections = _projections(modules, faults)
        projected = [event for projection in self.projections for event in projection.event_types()]
        self.model = Model.of(modules, faults, projected=projected)
        self.transactions = Transactions(self.database, name, clock=self.clock)
        self.buses = Buses.of(
            name,
            self.model,
            self.transactions,
            faults,
            clock=self.clock,
            counters=self.counters,
            sources=(view_provider(self.database, self.projections),),
            provide=provide,
            middleware=middleware,
        )
        faults.raise_all()
        self._running: Running | None = None

    def moved(
        self,
        transport: MakeTransport,
        database: Database,
        *,
        clock: Clock | None = None,
        partitions: int | None = None,
        shutdown_seconds: float | None = None,
    ) -> "Application":
        """
        Another application of the same definition over another log and database, with nothing running: for tests.

        Whatever `provide` and `middleware` were given is shared by both. Raises InvalidConfiguration.
        """
        return Application(
            self.name,
            modules=self._modules,
            provide=self._provide,
            middleware=self._middleware,
            transport=transport,
            database=database,
            clock=clock or self.clock,
            partitions=partitions or self.settings.partitions,
            shutdown_seconds=shutdown_seconds or self.settings.shutdown_seconds,
            database_wait_seconds=self.settings.database_wait_seconds,
            inbox_kept_seconds=self.settings.inbox_kept_seconds,
        )

    @property
    def topics(self) -> dict[str, int]:
        """The topics that the service reads and writes, each with the partitions that it is created with."""
        read = {topic for projection in self.projections for topic in projection.projection_topics}
        handlers = [handler for handlers in self.model.handlers.events.values() for handler in handlers]
        failed = failure_topics(self.name, handlers)
        names = sorted(self.model.handled_topics | self.model.published_topics | read | failed)
        return dict.fromkeys(names, self.settings.partitions)

    @asynccontextmanager
    async def lifespan(self, _: object = None) -> AsyncGenerator[None]:
        """
        Everything that runs beside requests, from start to clean stop: FastAPI(lifespan=app.lifespan).

        Starts although broker or database are away, and waits for them. Raises InvalidConfiguration, SchemaOutdated.
        """
        if self._running is not None:
            raise DefinitionError(f"{self.name} is running already: one lifespan at a time")
        async with (
            self.connected() as connection,
            self.buses.provided.opened(),
            running(self, connection) as self._running,
        ):
            try:
                yield
            finally:
                self._running = None

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[Connection]:
        """A connection to the log, and the database, with nothing consumed or relayed: for commands such as rebuild."""
        try:
            async with connected(self.name, self._log, self.settings) as connection:
                yield connection
        finally:
            await self.database.aclose()

    async def run(self) -> None:
        """Runs the service without HTTP, until SIGTERM or SIGINT."""
        async with self.lifespan():
            with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                async for number in signals:
                    _log.info("%s: %s, stopping", self.name, number.name)
                    return

    async def send(self, command: Command, *, id: str | None = None) -> Receipt:
        """
        Handles *command* in one transaction; the receipt names the events that it led to.

        With *id* it is handled once, and the first receipt is answered again. Raises what its handler raises;
        ConcurrencyConflict after its retries; DatabaseUnavailable.
        """
        return await self.buses.commands.send(command, id=id)

    async def ask(self, query: Query[R], *, at_least: Receipt | None = None, timeout: float = 5.0) -> R:
        """
        What the handler of *query* answers; with *at_least*, from views that have seen what the receipt stands for.

        Raises what its handler raises; NotYetApplied when the views have not come that far within *timeout* seconds;
        DatabaseUnavailable.
        """
        if at_least is not None:
            deadline = self.clock.monotonic() + timeout
            for projection in self._views_of(type(query)):
                left = max(0.0, deadline - self.clock.monotonic())
                await wait_until_applied(self.database, projection, at_least, left, clock=self.clock)
        return await self.buses.queries.ask(query)

    async def publish(self, event: Event) -> str:
        """Has *event*, which belongs to no aggregate, published to the topic that its class names; answers its id."""
        return await self.buses.events.publish(event)

    async def status(self) -> ApplicationStatus:
        """What the service is doing, as JSON: consumers and relay, what waits and why, dead letters, counters."""
        if self._running is None:
            raise DefinitionError(f"{self.name} is not running: enter app.lifespan")
        return await self._running.status()

    def _views_of(self, query: type[Query[R]]) -> list[type[AnyProjection]]:
        definition = self.model.handlers.queries.get(query)
        annotations = [] if definition is None else [annotation for _, annotation in definition.dependencies]
        viewed = {get_args(annotation)[0] for annotation in annotations if get_origin(annotation) is View}
        return [projection for projection in self.projections if projection in viewed]


def _projections(modules: Sequence[object], faults: Faults) -> tuple[type[AnyProjection], ...]:
    """The projections that are defined in *modules*; an imported one does not count."""
    found: dict[str, type[AnyProjection]] = {}
    for module in (one for one in modules if isinstance(one, ModuleType)):
        for value in vars(module).values():
            if not (
                isinstance(value, type) and issubclass(value, AnyProjection) and value.__module__ == module.__name__
            ):
                continue
            other = found.setdefault(value.projection_name, value)
            if other is not value:
                faults.add(
                    f"two projections are called {value.projection_name!r}: {other.__module__}.{other.__qualname__} "
                    f"and {value.__module__}.{value.__qualname__}: give one of them another name="
                )
    return tuple(found.values())
