"""
From a name on the wire to a class: the events that one application knows.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from eventbus.errors import DefinitionError, UndecodableMessage
from eventbus.messages import Envelope, Event
from eventbus.serialization.json import decode
from eventbus.serialization.upcasting import Upcasters

_NO_UPCASTERS: Final = Upcasters()


class MessageTypes:
    """
    The events of one application by their names, those of before included; there is no global table.

    Raises DefinitionError with every fault found: two classes of one name, missing or needless upcasters.
    """

    __slots__ = ("_classes", "_events", "_upcasters")

    def __init__(self, events: Iterable[type[Event]], upcasters: Upcasters = _NO_UPCASTERS) -> None:
        classes: dict[str, type[Event]] = {}
        faults: list[str] = []
        self._events = tuple(dict.fromkeys(events))
        for event in self._events:
            for name in event.event_names():
                other = classes.setdefault(name, event)
                if other is not event:
                    faults.append(
                        f"two classes are the event {name!r}: {_named(other)} and {_named(event)}: "
                        "use one, or give one of them another name="
                    )
            faults += upcasters.faults(event)
        if faults:
            raise DefinitionError("\n".join(faults))
        self._classes = classes
        self._upcasters = upcasters

    def __contains__(self, name: str) -> bool:
        return name in self._classes

    def __iter__(self) -> Iterator[type[Event]]:
        return iter(self._events)

    def get(self, name: str) -> type[Event] | None:
        """The class of the event *name*; None: unknown here."""
        return self._classes.get(name)

    def decode(self, envelope: Envelope, data: bytes | None) -> Event | None:
        """
        The event in *data*, upcast to today's version; None: no event of this application.

        Raises UndecodableMessage: no data, data that do not fit, or a version newer than the class's.
        """
        return self.decode_as(envelope.type, envelope.version, data)

    def decode_as(self, name: str, version: int, data: bytes | None) -> Event | None:
        """The same, for who has no envelope: loading a stream would make one for each of its events."""
        cls = self._classes.get(name)
        if cls is None:
            return None
        if data is None:
            raise UndecodableMessage(f"{name} v{version} has no data (a null value)")
        if version == cls.message_version:
            return decode(cls, data)
        # Through JSON again, so that an upcast event is validated by exactly the rules of one that was read.
        return decode(cls, to_json(self._upcast(cls, name, version, data)))

    def newest_shape(self, envelope: Envelope, data: bytes) -> dict[str, JsonValue]:
        """
        The JSON object in *data* as an event of today's version would have it. Raises UndecodableMessage, also when
        the event is unknown here.
        """
        cls = self._classes.get(envelope.type)
        if cls is None:
            raise UndecodableMessage(f"{envelope.type} is no event of this application")
        return self._upcast(cls, envelope.type, envelope.version, data)

    def _upcast(self, cls: type[Event], name: str, version: int, data: bytes) -> dict[str, JsonValue]:
        if version > cls.message_version:
            raise UndecodableMessage(
                f"{name} v{version} is newer than version {cls.message_version}, the newest known here: deploy the "
                "newer class first"
            )
        return self._upcasters.upcast(cls, version, _object(name, version, data))


def _object(name: str, version: int, data: bytes) -> dict[str, JsonValue]:
    try:
        value: JsonValue = from_json(data)
    except ValueError as error:
        raise UndecodableMessage(f"{name} v{version}: {error}") from None
    if not isinstance(value, dict):
        raise UndecodableMessage(f"{name} v{version}: the value is no JSON object")
    return value


def _named(cls: type[Event]) -> str:
    return f"{cls.__module__}.{cls.__qualname__} (v{cls.message_version})"
