"""
Scenarios: the same requests for two brokers, as data.

A scenario is a list of steps. Names of topics, groups and transactional ids begin with the scenario's, so that
scenarios do not meet. What an answer reveals (a topic id, a member id, a producer id) is remembered for each broker by
itself, and later requests are built from that. A request may be built more than once: to build it changes nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from broker.wire.declaration import Message, Request
from broker.wire.primitives import NO_UUID


@dataclass(slots=True)
class Known:
    """What one broker has told so far, and the version in which the next request goes."""

    scenario: str
    version: int = 0
    port: int = 0
    values: dict[str, object] = field(default_factory=dict)

    def name(self, label: str) -> str:
        """The topic, group or transactional id that the scenario calls *label*."""
        return f"{self.scenario}-{label}"

    def id(self, label: str) -> UUID:
        """The id of the topic *label*; the zero id before it is known."""
        found = self.values.get(f"id of {self.name(label)}", NO_UUID)
        assert isinstance(found, UUID)
        return found

    def text(self, label: str) -> str:
        found = self.values.get(label, "")
        assert isinstance(found, str)
        return found

    def number(self, label: str) -> int:
        found = self.values.get(label, -1)
        assert isinstance(found, int)
        return found

    def learn_id(self, name: str, topic_id: UUID) -> None:
        self.values[f"id of {name}"] = topic_id


Build = Callable[[Known], Request]
Learn = Callable[[Known, Message], None]


@dataclass(frozen=True, slots=True)
class Ask:
    """
    One request, in each of *versions* (None: in all that both brokers serve), and its answer compared.

    *wait* False leaves the answer for a later `Receive`; *answered* False is for requests that get none.
    """

    build: Build
    versions: Iterable[int] | None = None
    learn: Learn | None = None
    connection: str = "main"
    wait: bool = True
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Receive:
    """The answer to the request that was left waiting on *connection*; *seconds_max* where none is expected."""

    connection: str
    learn: Learn | None = None
    seconds_max: float | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """Asked again until *done* is satisfied; nothing is compared. For what a broker does soon, but not at once."""

    build: Build
    done: Callable[[Message], bool]
    learn: Learn | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes on a connection of their own. Whether it is closed or answered is compared, and the first bytes said."""

    what: str
    build: Callable[[Known], bytes]


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection is closed by the client."""

    connection: str


@dataclass(frozen=True, slots=True)
class Pause:
    """
    Time for a request that is left waiting to arrive, where its order with one on another connection decides.

    Apache Kafka takes the requests of different connections on different threads, and that it holds a repeated one is
    to be seen nowhere: an answer on a third connection does not say that the one sent before it was taken up.
    """

    seconds: float = 0.7


Step = Ask | Receive | Settle | Raw | Drop | Pause


@dataclass(frozen=True, slots=True)
class Scenario:
    """A name and its steps."""

    name: str
    steps: list[Step]
