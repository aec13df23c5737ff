"""
Given what has happened, when it is told something, then it decides this: tests of what decides, without any I/O.

    given(Order, placed).when(Order.place, "c-1", [line]).raises(OrderAlreadyPlaced)
    given(Order, id="o-1").when(Order.place, "c-1", [line]).records(placed).state(status="placed")
    given(decider, opened).when(Withdraw(amount=5)).records(Withdrawn(amount=5))
"""

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Concatenate, Generic, ParamSpec, Self, TypeVar, cast, overload

from eventbus.domain import Aggregate, Decider, decider_of
from eventbus.messages import Event

A = TypeVar("A", bound=Aggregate)
C = TypeVar("C")
E = TypeVar("E")
S = TypeVar("S")
P = ParamSpec("P")


@overload
def given(aggregate: type[A], /, *events: Event, id: str | None = None) -> "GivenAggregate[A]": ...
@overload
def given(decider: Decider[C, E, S], /, *events: E) -> "Given[C, E, S]": ...
def given(subject: object, /, *events: object, id: str | None = None) -> object:
    """
    What has happened to an aggregate, or to the state of a decider, before the test begins.

    Without *id* an aggregate's is read from its events: the key field, else `order_id` for an Order, else it is "1".
    """
    if isinstance(subject, type) and issubclass(subject, Aggregate):
        happened = cast("tuple[Event, ...]", events)
        return GivenAggregate(decider_of(subject, id or id_in(subject, happened)), happened)
    return Given(cast("Decider[object, object, object]", subject), events)


class Given(Generic[C, E, S]):
    """A decider and its past."""

    def __init__(self, decider: Decider[C, E, S], events: Sequence[E]) -> None:
        self._decider = decider
        self._events = events

    def when(self, command: C, /) -> "Outcome[E, S]":
        """What the decider makes of *command*."""
        return _decide(self._decider, self._events, command)


class GivenAggregate(Generic[A]):
    """An aggregate and its past."""

    def __init__(self, decider: Decider[Callable[[A], None], Event, A], events: Sequence[Event]) -> None:
        self._decider = decider
        self._events = events

    def when(
        self, method: Callable[Concatenate[A, P], object], /, *arguments: P.args, **keywords: P.kwargs
    ) -> "Outcome[Event, A]":
        """What the aggregate makes of a call: `when(Order.place, "c-1", lines)`."""

        def call(aggregate: A) -> None:
            method(aggregate, *arguments, **keywords)

        return _decide(self._decider, self._events, call)


class Outcome(Generic[E, S]):
    """What was decided. An error that no `raises` expects goes on from `records` and `state`."""

    def __init__(self, state: S, recorded: Sequence[E], error: Exception | None) -> None:
        self._state = state
        self._recorded = recorded
        self._error = error

    def records(self, *events: E) -> Self:
        """Exactly *events*, in this order; none: nothing happened."""
        __tracebackhide__ = True
        self._refuse_error()
        if list(events) != list(self._recorded):
            difference = _diff(events, self._recorded)
            raise AssertionError(f"recorded other events than expected (- expected, + recorded):\n{difference}")
        return self

    def raises(self, error: type[Exception], *, match: str | None = None) -> Self:
        """*error*, or one derived from it, whose text has *match* (a regular expression) in it."""
        __tracebackhide__ = True
        if self._error is None:
            what = _lines(self._recorded) or ["nothing"]
            raise AssertionError(f"expected {error.__name__}, but it recorded\n" + "\n".join(what))
        if not isinstance(self._error, error):
            raise AssertionError(f"expected {error.__name__}, but it raised {self._error!r}") from self._error
        if match is not None and re.search(match, str(self._error)) is None:
            raise AssertionError(f"{self._error!r} does not have {match!r} in its text") from self._error
        return self

    def state(self, holds: Callable[[S], object] | None = None, /, **attributes: object) -> Self:
        """The state afterwards: *holds* is true of it, and it has *attributes*."""
        __tracebackhide__ = True
        self._refuse_error()
        found = {name: getattr(self._state, name) for name in attributes}
        other = {name: value for name, value in found.items() if value != attributes[name]}
        if other:
            expected = {name: attributes[name] for name in other}
            raise AssertionError(f"the state is {other}, expected {expected}")
        if holds is not None and not holds(self._state):
            shown = vars(self._state) if hasattr(self._state, "__dict__") else self._state
            raise AssertionError(f"the state is not as expected: {shown}")
        return self

    def _refuse_error(self) -> None:
        if self._error is not None:
            raise self._error


def _decide(decider: Decider[C, E, S], events: Sequence[E], command: C) -> Outcome[E, S]:
    state = decider.fold(events)
    try:
        recorded = decider.decide(state, command)
    except Exception as error:
        return Outcome(state, (), error)
    # Folded from all events, not the object that decided: what a method changes beside its events is lost at the next
    # load, and so it is here.
    return Outcome(decider.fold([*events, *recorded]), recorded, None)


def id_in(aggregate: type[Aggregate], events: Sequence[Event]) -> str:
    field = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", aggregate.aggregate_name).lower() + "_id"
    for event in events:
        if event.event_key is not None:
            return event.partition_key() or "1"
        if field in type(event).model_fields:
            return str(getattr(event, field))
    return "1"


def _lines(events: Sequence[object]) -> list[str]:
    return [line for event in events for line in _shown(event)]


def _shown(event: object) -> list[str]:
    if not isinstance(event, Event):
        return [repr(event)]
    fields = [f"    {name}={getattr(event, name)!r}," for name in type(event).model_fields]
    return [f"{type(event).__name__}(", *fields, ")"]


def _diff(expected: Sequence[object], recorded: Sequence[object]) -> str:
    return "\n".join(line.rstrip("\n") for line in difflib.ndiff(_lines(expected), _lines(recorded)) if line[:1] != "?")
