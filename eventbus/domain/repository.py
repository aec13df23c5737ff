"""
Loads aggregates and, when the handler has returned, appends what they have recorded.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar, cast

from eventbus.domain.aggregate import Aggregate
from eventbus.domain.state import state_format
from eventbus.errors import DefinitionError, StreamNotFound
from eventbus.messages import Event
from eventbus.serialization import MessageTypes
from eventbus.store import History, UnitOfWork

_log: Final = logging.getLogger("eventbus.domain")

A = TypeVar("A", bound=Aggregate)


class Repository(Generic[A]):
    """
    The aggregates of one class within one unit of work: an id is the same object however often it is loaded.

    What they record is appended by itself, at the version that was loaded: there is no `save`. Somebody else's append
    in between is a ConcurrencyConflict, upon which the command is handled again from the start.
    """

    __slots__ = ("_aggregate", "_loaded", "_types", "_unit_of_work")

    def __init__(self, aggregate: type[A], unit_of_work: UnitOfWork, types: MessageTypes) -> None:
        self._aggregate = aggregate
        self._unit_of_work = unit_of_work
        self._types = types
        self._loaded: dict[str, A] = {}
        unit_of_work.before_complete(self._append_recorded)

    async def load(self, id: str) -> A:
        """The aggregate *id*. Raises StreamNotFound when it has no events."""
        aggregate = await self.load_or_new(id)
        if aggregate.stream_version == 0 and not aggregate.recorded_events:
            raise StreamNotFound(aggregate.stream)
        return aggregate

    async def load_or_new(self, id: str) -> A:
        """The aggregate *id*, a new one when it has no events."""
        known = self._loaded.get(id)
        if known is not None:
            return known
        aggregate = await self._load(self._aggregate(id))
        # A concurrent load of the same id, in the handler's own task group, may have been quicker.
        return self._loaded.setdefault(id, aggregate)

    async def _load(self, aggregate: A) -> A:
        shape = aggregate.aggregate_snapshot
        if shape is None:
            history = await self._unit_of_work.history(aggregate.stream)
        else:
            snapshot, history = await self._unit_of_work.load_snapshot(aggregate.stream, shape)
            if snapshot is not None:
                if state_format(self._aggregate).read(snapshot.state, aggregate):
                    aggregate.restored(snapshot.stream_version)
                else:
                    _log.warning(
                        "%s: the snapshot at version %d does not fit the attributes of %s: all events are read. "
                        "Whoever changes them gives snapshot= a higher number",
                        aggregate.stream,
                        snapshot.stream_version,
                        self._aggregate.__qualname__,
                    )
                    history = await self._unit_of_work.history(aggregate.stream)
        return aggregate.replay(self._decoded(aggregate, history))

    def add(self, aggregate: A) -> A:
        """
        Takes a new aggregate in. That its id is free is found out when it is appended: ConcurrencyConflict.

        Raises ValueError when another object of this id is here already.
        """
        if self._loaded.setdefault(aggregate.id, aggregate) is not aggregate:
            raise ValueError(f"{aggregate.stream} is loaded already: use that one")
        return aggregate

    def _decoded(self, aggregate: A, history: History) -> Iterator[Event]:
        decode = self._types.decode_as
        for name, type_version, data in cast("Iterable[tuple[str, int, bytes]]", history):
            event = decode(name, type_version, data)
            if event is None:
                # Its version: replaying counts as it goes.
                raise DefinitionError(
                    f"stream {aggregate.stream!r} holds a {name} v{type_version} at {aggregate.stream_version + 1}, "
                    f"and {self._aggregate.__name__} applies no such event"
                )
            yield event

    def _append_recorded(self) -> None:
        for aggregate in self._loaded.values():
            expected_version = aggregate.stream_version
            if recorded := aggregate.take_recorded():
                self._unit_of_work.append(
                    aggregate.stream,
                    expected_version,
                    recorded,
                    topic=aggregate.aggregate_topic,
                    key=aggregate.id,
                    category=aggregate.aggregate_name,
                )
                if aggregate.aggregate_snapshot is not None and aggregate.is_snapshot_due():
                    self._unit_of_work.put_snapshot(
                        aggregate.stream,
                        aggregate.stream_version,
                        aggregate.aggregate_snapshot,
                        state_format(self._aggregate).write(aggregate),
                    )
