"""
What one application consists of, found in its modules and checked as a whole.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import get_args, get_origin

from eventbus.domain import Aggregate, EventTopics, Repository, find_aggregates
from eventbus.handlers import Faults, Handlers, only_modules
from eventbus.messages import Command, Event
from eventbus.messages.message import place
from eventbus.serialization import MessageTypes, Upcasters, find_upcasters


@dataclass(frozen=True, slots=True)
class Model:
    """Handlers, aggregates and event types of one application."""

    handlers: Handlers
    topics: EventTopics
    types: MessageTypes
    handled_topics: frozenset[str]
    """The topics that its event handlers read."""
    published_topics: frozenset[str]
    """The topics that its aggregates write, and those named by the events in its modules."""
    named_events: tuple[type[Event], ...]
    """The events in its modules that name a topic: what it may publish, whether it reads them or not."""

    @classmethod
    def of(cls, modules: Sequence[ModuleType], faults: Faults, *, projected: Iterable[type[Event]] = ()) -> "Model":
        """
        The model of what is defined in *modules*; *projected* are the events that its projections read.

        Everything wrong goes to *faults*; the model is fit for use only when there is none.
        """
        modules = only_modules(modules, faults)
        handlers = Handlers(modules, faults)
        _check_command_names(handlers, faults)
        aggregates = tuple(dict.fromkeys((*find_aggregates(modules), *_loaded_by(handlers))))
        topics = EventTopics(())
        with faults.collected():
            topics = EventTopics(aggregates)
        applied = [event for aggregate in aggregates for event in aggregate.applied_events]
        types = MessageTypes(())
        with faults.collected():
            upcasters = Upcasters(find_upcasters(modules))
            types = MessageTypes(dict.fromkeys((*handlers.events, *applied, *projected)), upcasters)
        handled_topics: set[str] = set()
        for event, definitions in handlers.events.items():
            topic = topics.topic(event)
            if topic is None:
                faults.add(
                    f"{definitions[0].place}: {definitions[0].name} handles {event.__name__}, and nobody knows its "
                    f'topic: class {event.__name__}(Event, topic="…"), or give the module of its aggregate to modules='
                )
            else:
                handled_topics.add(topic)
        for definition in (one for definitions in handlers.events.values() for one in definitions):
            if (topic := definition.options.dead_letter_topic) in handled_topics:
                faults.add(
                    f"{definition.place}: {definition.name} has dead_letter_topic={topic!r}, which this service reads: "
                    "its dead letters would come back for ever; name another topic"
                )
        named = tuple(dict.fromkeys(event for event in _events_in(modules) if event.event_topic is not None))
        published = topics.written() | {event.event_topic for event in named if event.event_topic is not None}
        return cls(handlers, topics, types, frozenset(handled_topics), frozenset(published), named)


def _check_command_names(handlers: Handlers, faults: Faults) -> None:
    """A command is remembered by its name and the id it was sent under: two of one name would answer for another."""
    known: dict[str, type[Command]] = {}
    for command in handlers.commands:
        for name in command.command_names():
            other = known.setdefault(name, command)
            if other is not command:
                faults.add(
                    f"two commands are called {name!r}: {place(other)} and {place(command)}: give one of them another "
                    "name= or take the name out of its aliases="
                )


def _loaded_by(handlers: Handlers) -> Iterator[type[Aggregate]]:
    """The aggregates that handlers ask a repository of, wherever they are defined."""
    for definition in handlers:
        for _, annotation in definition.dependencies:
            aggregate = aggregate_of(annotation)
            if aggregate is not None:
                yield aggregate


def aggregate_of(annotation: object) -> type[Aggregate] | None:
    """A, when *annotation* is Repository[A]."""
    if get_origin(annotation) is not Repository:
        return None
    (argument,) = get_args(annotation)
    return argument if isinstance(argument, type) and issubclass(argument, Aggregate) else None


def _events_in(modules: Iterable[ModuleType]) -> Iterator[type[Event]]:
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Event):
                yield value
