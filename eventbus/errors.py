"""
Every error that `eventbus` raises on purpose.

EventBusError
├── InvalidConfiguration      a setting is wrong: the operator mends it
├── DefinitionError           the application is built wrong: the developer mends it; names the places
├── DomainError               a business rule was broken: the caller's fault; users derive their own from it
├── StreamNotFound            an aggregate was loaded that has no events
├── ConcurrencyConflict       somebody else appended first: load again and retry
├── DuplicateEventIds         some events of an append are stored already, and it is no repeat: the writer mends it
├── UndecodableMessage        bytes that are not what their headers say: the sender's fault
├── Unavailable               the world is away for now: wait and retry
│   ├── DatabaseUnavailable
│   └── BrokerUnavailable
├── CheckpointFenced          a newer owner took this partition over: roll back and stop
├── LeaseLost                 a newer relay took this slot of the outbox over: roll back and stop
├── ForeignLog                a checkpoint belongs to another log, or the log is shorter than it says
├── SchemaOutdated            the database's schema is not the one this version needs
├── NotYetApplied             a view did not reach a receipt in the time given
└── PublishRefused            the log refuses this record for good (too large, topic refused)
"""

from collections.abc import Mapping
from typing import Final


class EventBusError(Exception):
    """The root: catch it to catch everything that eventbus raises on purpose."""


class InvalidConfiguration(EventBusError):
    """A setting is wrong. The text is one sentence with the variable's name and the way out."""


class DefinitionError(EventBusError):
    """The application's parts do not fit together. The text names each place as `module:line`."""


class DomainError(EventBusError):
    """A business rule was broken; over HTTP a 409 with the rule's words. Derive your own from it."""


class StreamNotFound(EventBusError):
    """A stream that was to be there has no events."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"stream {stream!r} has no events: load_or_new() starts a new one")
        self.stream = stream


class ConcurrencyConflict(EventBusError):
    """Somebody else appended to the stream first."""

    def __init__(self, stream: str, expected: int | str, actual: int | None) -> None:
        found = "has moved on" if actual is None else f"is {actual}"
        super().__init__(f"stream {stream!r}: expected version {expected}, {found}: load it again and retry")
        self.stream = stream
        self.expected = expected
        self.actual = actual

    def __reduce__(self) -> tuple[type["ConcurrencyConflict"], tuple[str, int | str, int | None]]:
        return type(self), (self.stream, self.expected, self.actual)


class DuplicateEventIds(EventBusError):
    """
    Ids of an append's events are taken, and it is no repeat of what is stored. Nothing of it was written.

    places   where each of the taken ones is, stream and version; None: it was given more than once
    """

    _SHOWN_MAX: Final = 5

    def __init__(self, stream: str, count: int, places: Mapping[str, tuple[str, int] | None]) -> None:
        where = [
            f"{id!r} is given more than once" if place is None else f"{id!r} is version {place[1]} of {place[0]!r}"
            for id, place in list(places.items())[: self._SHOWN_MAX]
        ]
        more = f" and {len(places) - len(where)} more" if len(places) > len(where) else ""
        super().__init__(
            f"stream {stream!r}: of the ids of {count} events to append, {len(places)} are taken: {', '.join(where)}"
            f"{more}; nothing was appended. A repeat has all events of an append, in their order, under their ids; "
            "other events need ids of their own"
        )
        self.stream = stream
        self.count = count
        self.places = places

    def __reduce__(self) -> tuple[type["DuplicateEventIds"], tuple[str, int, Mapping[str, tuple[str, int] | None]]]:
        return type(self), (self.stream, self.count, self.places)


class UndecodableMessage(EventBusError):
    """The bytes of a record cannot be read as the message that its headers name."""


class Unavailable(EventBusError):
    """Something outside is away for now; the same call may succeed later."""


class DatabaseUnavailable(Unavailable):
    """The database is down, unreachable or locked for longer than the wait that was set."""


class BrokerUnavailable(Unavailable):
    """No broker answered within the wait that was set."""


class CheckpointFenced(EventBusError):
    """Another owner has claimed this partition since: what was done is rolled back, and this owner stops."""


class LeaseLost(EventBusError):
    """Another relay has taken this slot of the outbox over since: what was to be deleted stays for it."""


class ForeignLog(EventBusError):
    """A checkpoint belongs to another cluster, another topic of that name, or a longer log than the one found."""


class SchemaOutdated(EventBusError):
    """The database's schema is older or newer than the one that this version of eventbus needs."""


class NotYetApplied(EventBusError):
    """A view has not reached what a receipt stands for in the time given. The text says what was missing."""


class PublishRefused(EventBusError):
    """The log refuses this record for good: trying again will not help."""
