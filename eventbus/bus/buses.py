"""
The buses of one application, with an invocation ready for each handler.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from eventbus.bus.command_bus import CommandBus
from eventbus.bus.event_bus import EventBus
from eventbus.bus.model import Model, aggregate_of
from eventbus.bus.query_bus import QueryBus
from eventbus.clock import Clock
from eventbus.domain import Repository
from eventbus.handlers import (
    Faults,
    Invocation,
    Middleware,
    MiddlewareDefinition,
    Provided,
    Provider,
    Provision,
    Source,
    from_unit_of_work,
)
from eventbus.messages import Event, Message
from eventbus.observability import Counters
from eventbus.serialization import MessageTypes
from eventbus.store import Transactions, UnitOfWork


@dataclass(frozen=True, slots=True)
class Buses:
    """What messages are given to."""

    commands: CommandBus
    queries: QueryBus
    events: EventBus
    subscribers: Mapping[type[Event], Sequence[Invocation]]
    """The event handlers, in the order of their definition: what delivery calls."""
    provided: Provided
    """The user's own: `async with provided.opened()` around the application's life."""

    @classmethod
    def of(
        cls,
        source: str,
        model: Model,
        transactions: Transactions,
        faults: Faults,
        *,
        clock: Clock,
        counters: Counters,
        sources: Sequence[Source] = (),
        provide: Sequence[object] = (),
        middleware: Sequence[Middleware] = (),
    ) -> "Buses":
        """
        The buses of the application *source*. *sources* are the framework's further providers (views), *provide* is the
        user's, *middleware* is around every handler. What cannot be provided goes to *faults*.
        """
        # The buses are provided to handlers, whose invocations they call: so this is filled once both are there.
        invocations: dict[type[Message], Invocation] = {}
        commands = CommandBus(source, invocations, transactions, clock, counters)
        queries = QueryBus(source, invocations, clock, counters)
        events = EventBus(source, model.topics, transactions, clock)
        provided = Provided(())
        with faults.collected():
            provided = Provided(provide)
        provision = Provision(
            (_own(commands, queries, events, clock), _repositories(model.types), *sources, provided.source)
        )
        with faults.collected():
            provided.join(provision)
        around: list[MiddlewareDefinition] = []
        for one in middleware:
            with faults.collected():
                around.append(MiddlewareDefinition.of(one))
        subscribers: dict[type[Event], list[Invocation]] = {}
        for definition in model.handlers:
            with faults.collected():
                invocation = Invocation(definition, provision, around)
                if issubclass(definition.message_type, Event):
                    subscribers.setdefault(definition.message_type, []).append(invocation)
                else:
                    invocations[definition.message_type] = invocation
        return cls(commands, queries, events, subscribers, provided)


def _own(commands: CommandBus, queries: QueryBus, events: EventBus, clock: Clock) -> Source:
    known: dict[object, Provider] = {
        CommandBus: Provider(lambda _: commands),
        QueryBus: Provider(lambda _: queries),
        EventBus: Provider(lambda _: events),
        Clock: Provider(lambda _: clock),
    }
    return lambda annotation: known.get(annotation) if isinstance(annotation, type) else None


def _repositories(types: MessageTypes) -> Source:
    def find(annotation: object) -> Callable[[UnitOfWork], object] | None:
        aggregate = aggregate_of(annotation)
        return None if aggregate is None else lambda unit_of_work: Repository(aggregate, unit_of_work, types)

    return from_unit_of_work(find)
