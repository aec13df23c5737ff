"""
The aggregate: a class whose state is made by its events, and nothing else.

    class Order(Aggregate, topic="orders"):
        status: str = "new"

        def place(self, total: Decimal) -> None:
            self.record(OrderPlaced(order_id=self.id, total=total))

        @applies(OrderPlaced)
        def _placed(self, event: OrderPlaced) -> None:
            self.status = "placed"

Sugar on a Decider: `record` is where it decides, the methods marked by @applies are its `evolve` (in place, so that
folding a stream copies nothing), a new instance is its `initial`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import ClassVar, Final, Self, TypeVar

from eventbus.domain.decider import Decider
from eventbus.errors import DefinitionError
from eventbus.messages import Event

A = TypeVar("A", bound="Aggregate")
E = TypeVar("E", bound=Event)

_MARK: Final = "__eventbus_applies__"
# No dash: a stream is `<name>-<id>`, and its category is what stands before the first dash.
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.]*")


def applies(event: type[E], /) -> Callable[[Callable[[A, E], None]], Callable[[A, E], None]]:
    """
    Marks the method that changes the state for *event*. It must not refuse: the event has happened.

    A method may be marked for several events. Raises DefinitionError when *event* is no event class.
    """
    if not _is_event_class(event):
        raise DefinitionError(f"@applies({event!r}): not a class derived from Event")

    def mark(method: Callable[[A, E], None]) -> Callable[[A, E], None]:
        setattr(method, _MARK, (*getattr(method, _MARK, ()), event))
        return method

    return mark


class Aggregate:
    """
    One consistent thing, changed one command at a time: its events are appended at the version that was loaded.

    Class keywords
        topic      where its events go, keyed by its id; inherited
        name       the category of its streams, `<name>-<id>`; by default the class's name
        snapshot   keep snapshots of the state, whose shape is of this version: a number from 1 on, a higher one when
                   what the annotated attributes hold has changed; older snapshots are passed over then
        snapshot_every
                   a snapshot each time that so many events have come since the last one
    State          class attributes with immutable defaults; what has no such default is set in `__init__`
    Errors         DefinitionError when the class is created: no topic, a mutable default, an event that is applied
                   twice or that names another topic; TypeError: an unknown keyword
    """

    aggregate_name: ClassVar[str] = "Aggregate"
    aggregate_topic: ClassVar[str] = ""
    aggregate_snapshot: ClassVar[int | None] = None
    aggregate_snapshot_every: ClassVar[int] = 100
    applied_events: ClassVar[Mapping[type[Event], str]] = MappingProxyType({})
    """Event class → name of the method that applies it."""

    id: str

    def __init_subclass__(
        cls,
        *,
        topic: str | None = None,
        name: str | None = None,
        snapshot: int | None = None,
        snapshot_every: int | None = None,
    ) -> None:
        super().__init_subclass__()
        place = f"{cls.__module__}.{cls.__qualname__}"
        cls.aggregate_name = cls.__name__ if name is None else name
        if not _NAME.fullmatch(cls.aggregate_name):
            raise DefinitionError(f"{place}: the name {cls.aggregate_name!r} must be letters, digits, _ and . alone")
        if topic is not None:
            cls.aggregate_topic = topic
        if not cls.aggregate_topic:
            raise DefinitionError(f'{place}: say where its events go: class {cls.__name__}(Aggregate, topic="…")')
        if snapshot is not None:
            cls.aggregate_snapshot = snapshot
        if snapshot_every is not None:
            cls.aggregate_snapshot_every = snapshot_every
        if (cls.aggregate_snapshot is not None and cls.aggregate_snapshot < 1) or cls.aggregate_snapshot_every < 1:
            raise DefinitionError(f"{place}: snapshot= and snapshot_every= are numbers from 1 on")
        _refuse_mutable_defaults(cls, place)
        cls.applied_events = MappingProxyType(_applied(cls, place))

    def __init__(self, id: str) -> None:
        if not id:
            raise ValueError(f"an id of {self.aggregate_name} must not be empty")
        self.id = id
        # Mangled: their state is the users', under any name.
        self.__version = 0
        self.__snapshot_version = 0
        self.__recorded: list[Event] = []

    @property
    def stream(self) -> str:
        """`<name>-<id>`: where its events are kept."""
        return f"{self.aggregate_name}-{self.id}"

    @property
    def stream_version(self) -> int:
        """The number of events that it was loaded from; what it has recorded since does not count."""
        return self.__version

    @property
    def recorded_events(self) -> tuple[Event, ...]:
        """What it has decided and is not yet appended."""
        return tuple(self.__recorded)

    def record(self, event: Event) -> None:
        """
        Decides that *event* happens: it is applied at once, and appended when the handler has returned.

        Raises DefinitionError when nothing applies it, or its key field holds another value than the id.
        """
        if event.event_key is not None and event.partition_key() != self.id:
            raise DefinitionError(
                f"{self.aggregate_name} {self.id!r} records a {event.message_name} whose key field {event.event_key!r} "
                f"is {event.partition_key()!r}: an aggregate's events are keyed by its id"
            )
        _evolve(self, event)
        self.__recorded.append(event)

    def replay(self, events: Iterable[Event]) -> Self:
        """Itself after *events* of its stream. Raises DefinitionError at one that nothing applies."""
        for event in events:
            _evolve(self, event)
            self.__version += 1
        return self

    def restored(self, stream_version: int) -> Self:
        """Itself, given the state of a snapshot that was taken at *stream_version*."""
        self.__version = self.__snapshot_version = stream_version
        return self

    def is_snapshot_due(self) -> bool:
        """Whether enough events have come since the last snapshot; asked again, it is not."""
        if self.aggregate_snapshot is None or self.__version - self.__snapshot_version < self.aggregate_snapshot_every:
            return False
        self.__snapshot_version = self.__version
        return True

    def take_recorded(self) -> list[Event]:
        """The recorded events, which from here on count as appended: `stream_version` stands behind them."""
        taken, self.__recorded = self.__recorded, []
        self.__version += len(taken)
        return taken


def decider_of(aggregate: type[A], id: str) -> Decider[Callable[[A], None], Event, A]:
    """The aggregate as a Decider whose commands are calls of its methods."""

    def decide(state: A, call: Callable[[A], None]) -> list[Event]:
        call(state)
        return state.take_recorded()

    return Decider(initial=lambda: aggregate(id), decide=decide, evolve=lambda state, event: state.replay((event,)))


def _is_event_class(given: object) -> bool:
    """A type checker knows that it is; who runs none does not."""
    return isinstance(given, type) and issubclass(given, Event)


def _evolve(aggregate: Aggregate, event: Event) -> None:
    method = aggregate.applied_events.get(type(event))
    if method is None:
        cls = type(aggregate)
        raise DefinitionError(
            f"{cls.__module__}.{cls.__qualname__} has no method for {type(event).__name__}: "
            f"mark one by @applies({type(event).__name__})"
        )
    getattr(aggregate, method)(event)


def _refuse_mutable_defaults(cls: type[Aggregate], place: str) -> None:
    for name, value in vars(cls).items():
        # Dunders are the class's own machinery; a type, such as a nested class, is no state.
        if name.startswith("__") or isinstance(value, type):
            continue
        if type(value).__hash__ is None:
            raise DefinitionError(
                f"{place}.{name} = {value!r}: a {type(value).__name__} would be shared by every {cls.__name__}: "
                "use a tuple or frozenset, or set it in __init__"
            )


def _applied(cls: type[Aggregate], place: str) -> dict[type[Event], str]:
    found = dict(cls.applied_events)
    here: dict[type[Event], str] = {}
    for name, value in vars(cls).items():
        for event in getattr(value, _MARK, ()):
            other = here.setdefault(event, name)
            if other != name:
                raise DefinitionError(f"{place}: {event.__name__} is applied by {other} and by {name}")
            if event.event_topic not in {None, cls.aggregate_topic}:
                raise DefinitionError(
                    f"{place}: its events go to the topic {cls.aggregate_topic!r}, and {event.__name__} says "
                    f"{event.event_topic!r}: take topic= off the event"
                )
    return found | here
