"""
Which topic an event is on: its aggregate's, or the one that it names itself.
"""

from collections.abc import Iterable, Iterator
from types import ModuleType

from eventbus.domain.aggregate import Aggregate
from eventbus.errors import DefinitionError
from eventbus.messages import Event


def find_aggregates(modules: Iterable[ModuleType]) -> Iterator[type[Aggregate]]:
    """The aggregates that are defined in *modules*; an imported one does not count."""
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Aggregate) and value.__module__ == module.__name__:
                yield value


class EventTopics:
    """
    The topics of one application's events. Raises DefinitionError, every fault a line: an event that two aggregates
    send to two topics, two aggregates of one name.
    """

    __slots__ = ("_owners",)

    def __init__(self, aggregates: Iterable[type[Aggregate]]) -> None:
        self._owners: dict[type[Event], type[Aggregate]] = {}
        named: dict[str, type[Aggregate]] = {}
        faults: list[str] = []
        for aggregate in dict.fromkeys(aggregates):
            other = named.setdefault(aggregate.aggregate_name, aggregate)
            if other is not aggregate:
                faults.append(
                    f"two aggregates are called {aggregate.aggregate_name!r} and would share streams: "
                    f"{_named(other)} and {_named(aggregate)}: give one of them another name="
                )
            for event in aggregate.applied_events:
                owner = self._owners.setdefault(event, aggregate)
                if owner.aggregate_topic != aggregate.aggregate_topic:
                    faults.append(
                        f"{event.__name__} goes to two topics: {owner.aggregate_topic!r} by {_named(owner)} and "
                        f"{aggregate.aggregate_topic!r} by {_named(aggregate)}"
                    )
        if faults:
            raise DefinitionError("\n".join(faults))

    def owner(self, event: type[Event]) -> type[Aggregate] | None:
        """The aggregate of this application that records *event*."""
        return self._owners.get(event)

    def topic(self, event: type[Event]) -> str | None:
        """Where *event* is published and read; None: nobody knows."""
        owner = self._owners.get(event)
        return event.event_topic if owner is None else owner.aggregate_topic

    def written(self) -> set[str]:
        """The topics that the aggregates write."""
        return {owner.aggregate_topic for owner in self._owners.values()}


def _named(aggregate: type[Aggregate]) -> str:
    return f"{aggregate.__module__}.{aggregate.__qualname__}"
