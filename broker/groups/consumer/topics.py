"""What groups need to know of topics: names, ids, how many partitions, and whether any of it has changed."""

from collections.abc import Iterator, Sized
from typing import Protocol

from broker.identifiers import TopicId


class TopicShape(Protocol):
    """One topic, as much of it as an assignor looks at."""

    @property
    def name(self) -> str: ...

    @property
    def id(self) -> TopicId: ...

    @property
    def partitions(self) -> Sized: ...


class Topics(Protocol):
    """The broker's topics as they are now. `topics.Catalog` is one."""

    @property
    def changes(self) -> int:
        """Another number after a topic was created, deleted or widened: whoever has seen this one has seen all."""
        ...

    def find(self, name: str) -> TopicShape | None: ...

    def find_by_id(self, topic_id: TopicId) -> TopicShape | None: ...

    def __iter__(self) -> Iterator[TopicShape]: ...


class NoTopics:
    """A broker without topics, for coordinators that serve classic groups only."""

    __slots__ = ()

    changes = 0

    def find(self, name: str) -> TopicShape | None:
        return None

    def find_by_id(self, topic_id: TopicId) -> TopicShape | None:
        return None

    def __iter__(self) -> Iterator[TopicShape]:
        return iter(())
