"""
Given what has happened, when a handler is given a message, then it records this: on real tables in memory, without a
log.

    outcome = await given_handler(mark_paid, placed).when(payment)
    outcome.records(paid)
    (await given_handler(mark_paid, placed).deliver_twice(payment)).records(paid)

The handler is called as a running application calls it: what it asks for is provided, and what it records is written in
one transaction.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.application import Application
from eventbus.bus import Model
from eventbus.clock import Clock
from eventbus.database import Inbox, Migrations
from eventbus.database.tables import outbox
from eventbus.domain import Aggregate, Repository
from eventbus.errors import DefinitionError
from eventbus.messages import Command, Event, Metadata
from eventbus.serialization import MessageTypes
from eventbus.store import UnitOfWork
from eventbus.store.identifiers import new_event_id
from eventbus.testing.scenario import Outcome, id_in

_SERVICE: Final = "given"


class _Lost(Exception):
    """Stands for the end of a process between the handler's return and the commit."""


def given_handler(
    handler: Callable[..., object],
    /,
    *events: Event,
    modules: Sequence[ModuleType] = (),
    provide: Sequence[object] = (),
    clock: Clock | None = None,
) -> "GivenHandler":
    """
    events    that the aggregates which *handler* loads have recorded before
    modules   where the aggregate of its event is, if *handler* does not load it itself
    provide   as for `Application`; views are not provided
    clock     such as a `VirtualClock`
    """
    return GivenHandler(handler, events, modules, provide, clock)


class GivenHandler:
    """A handler of a command or an event, and the past."""

    def __init__(
        self,
        handler: Callable[..., object],
        events: Sequence[Event],
        modules: Sequence[ModuleType],
        provide: Sequence[object],
        clock: Clock | None,
    ) -> None:
        module = ModuleType(handler.__module__)
        setattr(module, getattr(handler, "__name__", "handler"), handler)
        self._handler = handler
        self._modules = [module, *modules]
        self._events = events
        self._provide = provide
        self._clock = clock

    async def when(self, message: Command | Event, /) -> Outcome[Event, None]:
        """What the handler records when it is given *message*; raises DefinitionError when it does not handle it."""
        return await self._delivered(message, is_lost_first=False)

    async def deliver_twice(self, event: Event, /) -> Outcome[Event, None]:
        """
        The same, with the event delivered again in both ways in which that can happen.

        First the process ends behind the handler and before the commit: nothing of it is stored, and the handler is
        called again, with the same `Metadata.id`. Then the event comes once more, which the inbox drops. Raises
        AssertionError when the second call records other events than the first. What the handler did elsewhere, it has
        done twice, which the test has to look at.
        """
        return await self._delivered(event, is_lost_first=True)

    async def _delivered(self, message: Command | Event, *, is_lost_first: bool) -> Outcome[Event, None]:
        __tracebackhide__ = True
        app = Application(
            _SERVICE,
            modules=self._modules,
            provide=self._provide,
            clock=self._clock,
            broker_url="memory:",
            database_url="memory:",
        )
        try:
            await Migrations(app.database).prepare()
            async with app.buses.provided.opened():
                await self._record_past(app)
                call = _Call(app, self._handler, message)
                try:
                    lost = await call.lose() if is_lost_first else None
                    recorded = await call.commit()
                    if is_lost_first and await call.commit():
                        raise AssertionError("the event took effect again, although its id was the same")
                except AssertionError:
                    raise
                except Exception as error:
                    return Outcome(None, (), error)
            if lost is not None and lost != recorded:
                raise AssertionError(
                    f"the second call recorded {recorded}, the first {lost}: more than event and past decide"
                )
            return Outcome(None, recorded, None)
        finally:
            await app.database.aclose()

    async def _record_past(self, app: Application) -> None:
        async with app.transactions.begin() as transaction:
            unit = transaction.unit_of_work(_metadata(app, self._events[0]) if self._events else _nothing(app))
            repositories: dict[type[Aggregate], Repository[Aggregate]] = {}
            for event in self._events:
                owner = app.model.topics.owner(type(event))
                if owner is None:
                    raise DefinitionError(
                        f"{type(event).__name__} is recorded by no aggregate that is known here: give modules=[…] the "
                        "module of its aggregate"
                    )
                if owner not in repositories:
                    repositories[owner] = Repository(owner, unit, app.model.types)
                (await repositories[owner].load_or_new(id_in(owner, [event]))).record(event)
            await unit.complete()
        async with app.database.transaction() as connection:
            await connection.execute(outbox.delete())


class _Call:
    """One message for one handler, under one id."""

    def __init__(self, app: Application, handler: Callable[..., object], message: Command | Event) -> None:
        self._app = app
        self._message = message
        self._metadata = _metadata(app, message)
        calls = app.buses.subscribers.get(_event_class(message), ())
        self._invocation = next((call for call in calls if call.definition.function is handler), None)
        if self._invocation is None and type(message) not in app.model.handlers.commands:
            name = getattr(handler, "__qualname__", repr(handler))
            raise DefinitionError(f"{name} does not handle {type(message).__name__}")

    async def lose(self) -> list[Event]:
        """What the handler records in a transaction that is not committed."""
        recorded: list[Event] = []
        try:
            async with self._app.transactions.begin() as transaction:
                unit = transaction.unit_of_work(self._metadata)
                await self._handle(unit)
                await transaction.flush()
                recorded = await _recorded(transaction.connection, self._app.model)
                raise _Lost
        except _Lost:
            return recorded

    async def commit(self) -> list[Event]:
        """What the handler has recorded when it is committed; nothing when the message was handled before."""
        app = self._app
        if isinstance(self._message, Command):
            await app.send(self._message)
        else:
            async with app.transactions.begin() as transaction:
                if not await Inbox().admit(transaction.connection, _SERVICE, [self._metadata.id]):
                    return []
                await self._handle(transaction.unit_of_work(self._metadata))
        async with app.database.reading() as connection:
            return await _recorded(connection, app.model)

    async def _handle(self, unit: UnitOfWork) -> None:
        if self._invocation is None:
            raise DefinitionError("a command is sent once: deliver_twice is for events")
        await self._invocation(self._message, unit)
        await unit.complete()


async def _recorded(connection: AsyncConnection, model: Model) -> list[Event]:
    rows = await connection.execute(
        select(outbox.c.type, outbox.c.headers, outbox.c.payload).order_by(outbox.c.sequence)
    )
    found: list[Event] = []
    for name, headers, payload in rows:
        version = int(dict(json.loads(headers))["ce_eventversion"])
        event = model.types.decode_as(name, version, payload) or _types(name).decode_as(name, version, payload)
        if event is not None:
            found.append(event)
    return found


def _types(name: str) -> MessageTypes:
    """The class of an event that the handler publishes and no module reads."""
    return MessageTypes([one for one in _events_below(Event) if name in one.event_names()][-1:])


def _events_below(cls: type[Event]) -> Iterator[type[Event]]:
    for one in cls.__subclasses__():
        yield one
        yield from _events_below(one)


def _event_class(message: Command | Event) -> type[Event]:
    return type(message) if isinstance(message, Event) else Event


def _metadata(app: Application, message: Command | Event) -> Metadata:
    cls = type(message)
    return Metadata(new_event_id(), cls.message_name, cls.message_version, _SERVICE, app.clock.now())


def _nothing(app: Application) -> Metadata:
    return Metadata(new_event_id(), "Nothing", 1, _SERVICE, app.clock.now())
