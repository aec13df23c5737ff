"""
A running service: the relay, the handlers' consumer and a consumer for each projection, from start to clean stop.

Start   the database's tables are made or checked; then, in the background, topics are made and consumers begin, as
        soon as broker and database are there. A service starts without them, and says once what it waits for
Stop    consumers first (handlers in flight finish, what they committed is relayed), then the relay; all within
        shutdown_seconds
"""

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import anyio

from eventbus.application.connection import Connection
from eventbus.application.garbage import spare_the_collector
from eventbus.application.status import ApplicationStatus, ConsumerReport, ParkedReport, RelayReport
from eventbus.bus import Buses, Model
from eventbus.clock import Clock
from eventbus.config import Settings
from eventbus.database import Database, DeadLetters, Migrations, Outbox, OutboxStatus, Parking, SlotLeases
from eventbus.delivery import (
    Consumer,
    Drain,
    EventDelivery,
    InboxExpiry,
    Relay,
    RetryDelivery,
    fenced_claims,
    retry_delays,
    retry_topic,
    say_order_is_given_up,
)
from eventbus.delivery.event_delivery import EVENTS_AHEAD_RECORDS
from eventbus.errors import DatabaseUnavailable, SchemaOutdated
from eventbus.handlers import HandlerDefinition
from eventbus.observability import EVENTS_HANDLED, Count, Counters
from eventbus.projections import AnyProjection, ProjectionRunner, Upkeep, prepare_projections
from eventbus.projections.runner import VIEW_AHEAD_RECORDS
from eventbus.store import Transactions

_log = logging.getLogger("eventbus")

_DATABASE_PAUSE_SECONDS = 0.5
# Partitions of a delay topic that wait side by side: one that waits is not to keep another one from its turn.
_WAITING_PARTITIONS_MAX = 1000
# Who pauses a view on purpose does not want every instance to be taken out of service.
_READY = frozenset({"running", "paused"})


class Definition(Protocol):
    """What of an application is needed to run it."""

    @property
    def name(self) -> str: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def counters(self) -> Counters: ...
    @property
    def database(self) -> Database: ...
    @property
    def projections(self) -> tuple[type[AnyProjection], ...]: ...
    @property
    def model(self) -> Model: ...
    @property
    def transactions(self) -> Transactions: ...
    @property
    def buses(self) -> Buses: ...
    @property
    def topics(self) -> dict[str, int]: ...


@dataclass
class Running:
    """The parts of a service while it runs."""

    definition: Definition
    connection: Connection
    relay: Relay
    consumers: list[Consumer | Upkeep] = field(default_factory=list["Consumer | Upkeep"])
    drain: Drain | None = None
    problem: str | None = None
    """What the start waits for, or why it cannot go on."""

    async def status(self) -> ApplicationStatus:
        """Asks the database for the outbox and the dead letters; while it is away, those are None."""
        rows: OutboxStatus | None = None
        dead_letters: Mapping[str, int] | None = None
        parked: ParkedReport | None = None
        problem = self.problem
        try:
            async with self.definition.database.reading() as connection:
                rows = await Outbox().status(connection)
                dead_letters = await DeadLetters().count(connection)
                found = await Parking().status(connection, self.definition.name)
                parked = ParkedReport(keys=found.keys, events=found.events, oldest_age_seconds=found.oldest_age_seconds)
        except DatabaseUnavailable as error:
            problem = problem or str(error)
        consumers = [_consumer_report(consumer) for consumer in self.consumers]
        relay = self.relay.status()
        embedded = self.connection.embedded
        return ApplicationStatus(
            service=self.definition.name,
            ready=problem is None and all(consumer["state"] in _READY for consumer in consumers),
            broker=self.connection.address,
            broker_pid=None if embedded is None else embedded.broker_pid,
            database=self.definition.database.name,
            problem=problem,
            handled=self.definition.counters.value(EVENTS_HANDLED),
            consumers=consumers,
            relay=RelayReport(
                rows=None if rows is None else rows.rows,
                oldest_age_seconds=None if rows is None else rows.oldest_age_seconds,
                slots=list(relay.slots),
                published=relay.published,
                blocked_keys=[f"{blocked.topic}/{blocked.key}: {blocked.reason}" for blocked in relay.blocked],
                waiting_for=relay.waiting_for,
            ),
            dead_letters=dead_letters,
            parked=parked,
            counters={_series(count): count.value for count in self.definition.counters.counts()},
        )


@asynccontextmanager
async def running(definition: Definition, connection: Connection) -> AsyncGenerator[Running]:
    """
    Runs the service while the block does. Raises SchemaOutdated at its start; later trouble is told by `status`.
    """
    spare_the_collector()
    settings = definition.settings
    relay = Relay(
        definition.database,
        Outbox(),
        SlotLeases(),
        connection.transport,
        connection.holder,
        service=definition.name,
        counters=definition.counters,
        lease_seconds=settings.lease_seconds,
        shutdown_seconds=settings.shutdown_seconds,
    )
    service = Running(definition, connection, relay)
    definition.transactions.when_committed(relay.wake)
    is_prepared = await _prepare(service)
    async with anyio.create_task_group() as tasks:
        starting = anyio.CancelScope()

        async def start() -> None:
            with starting:
                if not is_prepared:
                    await _prepare_when_there(service)
                # Before the relay: a producer's first look at a missing topic would make it with the broker's defaults.
                await connection.transport.ensure_topics(definition.topics)
                await tasks.start(relay.run)
                service.consumers = _consumers(definition, connection)
                service.drain = _drain(definition)
                for consumer in service.consumers:
                    await tasks.start(consumer.run)
                if service.drain is not None:
                    tasks.start_soon(service.drain.run)
                    tasks.start_soon(_inbox_expiry(definition, connection).run)
                service.problem = None

        service.problem = service.problem or "starting"
        tasks.start_soon(start)
        _log.info("%s: log at %s, database %s", definition.name, connection.address, definition.database.name)
        try:
            yield service
        finally:
            with anyio.CancelScope(shield=True):
                starting.cancel()
                await _stop(service)
            tasks.cancel_scope.cancel()


async def _prepare(service: Running) -> bool:
    """Makes or checks the tables; False when the database is away. Raises SchemaOutdated."""
    definition = service.definition
    try:
        await Migrations(definition.database).prepare()
        await prepare_projections(definition.database, definition.projections, definition.clock)
    except DatabaseUnavailable as error:
        if service.problem is None:
            _log.warning("%s: waiting for the database: %s", definition.name, error)
        service.problem = f"waiting for the database: {error}"
        return False
    return True


async def _prepare_when_there(service: Running) -> None:
    while True:
        await anyio.sleep(_DATABASE_PAUSE_SECONDS)
        try:
            if await _prepare(service):
                _log.info("%s: the database is there", service.definition.name)
                return
        except SchemaOutdated as error:
            # The service has started without its database, so nobody waits for this any more but the operator.
            _log.error("%s: %s", service.definition.name, error)
            service.problem = str(error)
            await anyio.sleep_forever()


def _consumers(definition: Definition, connection: Connection) -> list[Consumer | Upkeep]:
    settings = definition.settings
    make = partial(
        Consumer,
        connection.transport,
        instance_id=connection.instance_id,
        shutdown_seconds=settings.shutdown_seconds,
    )
    consumers: list[Consumer | Upkeep] = []
    if definition.buses.subscribers:
        delivery = EventDelivery(
            definition.name,
            definition.buses.subscribers,
            definition.model.types,
            sorted(definition.model.handled_topics),
            definition.database,
            definition.transactions,
            counters=definition.counters,
        )
        streamed = delivery if delivery.lanes > 1 else None
        fenced = partial(fenced_claims, definition.database)
        consumers.append(
            make(
                delivery,
                streamed=streamed,
                fenced=fenced,
                claimed=delivery.claimed,
                batch_size=delivery.batch_size,
                waiting_max=EVENTS_AHEAD_RECORDS,
            )
        )
        consumers += [
            make(
                RetryDelivery(
                    definition.name,
                    delay,
                    definition.buses.subscribers,
                    definition.model.types,
                    definition.database,
                    definition.transactions,
                    counters=definition.counters,
                ),
                fenced=fenced,
                partitions_max=_WAITING_PARTITIONS_MAX,
            )
            for delay in retry_delays(_event_handlers(definition))
        ]
    for projection in definition.projections:
        runner = ProjectionRunner(
            projection,
            service=definition.name,
            database=definition.database,
            types=definition.model.types,
            counters=definition.counters,
            clock=definition.clock,
        )
        make_its = partial(make, batch_size=runner.batch_size, waiting_max=VIEW_AHEAD_RECORDS)
        consumers.append(Upkeep(projection, runner, make_its, definition.database, definition.clock))
    return consumers


def _drain(definition: Definition) -> Drain | None:
    if not definition.buses.subscribers:
        return None
    say_order_is_given_up(_event_handlers(definition))
    return Drain(
        definition.name,
        definition.buses.subscribers,
        definition.model.types,
        definition.database,
        definition.transactions,
        counters=definition.counters,
        shutdown_seconds=definition.settings.shutdown_seconds,
    )


def _inbox_expiry(definition: Definition, connection: Connection) -> InboxExpiry:
    return InboxExpiry(
        definition.name,
        sorted(definition.model.handled_topics),
        [retry_topic(definition.name, delay) for delay in retry_delays(_event_handlers(definition))],
        definition.database,
        connection.transport,
        kept_seconds=definition.settings.inbox_kept_seconds,
    )


def _event_handlers(definition: Definition) -> list[HandlerDefinition]:
    return [handler for handlers in definition.model.handlers.events.values() for handler in handlers]


async def _stop(service: Running) -> None:
    async with anyio.create_task_group() as stopping:
        for consumer in service.consumers:
            stopping.start_soon(consumer.stop)
        if service.drain is not None:
            stopping.start_soon(service.drain.stop)
    await service.relay.stop()


def _series(count: Count) -> str:
    labels = ",".join(f"{label}={value}" for label, value in count.labels)
    return f"{count.name}{{{labels}}}" if labels else count.name


def _consumer_report(consumer: Consumer | Upkeep) -> ConsumerReport:
    status = consumer.status()
    return ConsumerReport(
        name=status.name,
        state=status.state,
        reason=status.reason,
        partitions=len(status.partitions),
        read_ahead=sum(partition.waiting for partition in status.partitions),
    )
