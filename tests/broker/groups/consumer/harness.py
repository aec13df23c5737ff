"""Consumers of the new protocol, and of the classic one beside them, under a manual clock."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID

from broker.errors import ErrorCode
from broker.groups import GroupCoordinator, HeartbeatRequest, HeartbeatResult, Partitions
from broker.identifiers import TopicId
from tests.broker.groups.harness import World

REBALANCE_MS = 60_000
SESSION_MS = 45_000
_NUMBERS = count(1)


@dataclass
class MemoryTopic:
    """A topic of so many partitions."""

    name: str
    partitions: range
    id: TopicId = field(default_factory=lambda: TopicId(UUID(int=1000 + next(_NUMBERS))))


class MemoryTopics:
    """The port, in memory."""

    def __init__(self) -> None:
        self.by_name: dict[str, MemoryTopic] = {}
        self.changes = 0

    def put(self, name: str, partitions: int) -> TopicId:
        """Creates a topic, or widens it."""
        known = self.by_name.get(name)
        topic = MemoryTopic(name, range(partitions))
        if known is not None:
            topic.id = known.id
        self.by_name[name] = topic
        self.changes += 1
        return topic.id

    def remove(self, name: str) -> None:
        del self.by_name[name]
        self.changes += 1

    def find(self, name: str) -> MemoryTopic | None:
        return self.by_name.get(name)

    def find_by_id(self, topic_id: TopicId) -> MemoryTopic | None:
        return next((each for each in self if each.id == topic_id), None)

    def __iter__(self) -> Iterator[MemoryTopic]:
        return iter(self.by_name.values())


class ConsumerWorld(World):
    """A world with topics; "t" has four partitions."""

    def __init__(self, **settings: str) -> None:
        self.topics = MemoryTopics()
        self.t = self.topics.put("t", 4)
        super().__init__(**settings)

    def epochs(self, group_id: str = "g") -> tuple[int, int]:
        """The group's epoch and its assignment's."""
        group = self.coordinator.describe_consumer(group_id)
        assert group is not None
        return group.group_epoch, group.assignment_epoch

    def state(self, group_id: str = "g") -> str:
        consumers = self.coordinator.describe_consumer(group_id)
        return super().state(group_id) if consumers is None else consumers.state.value

    def _start(self) -> GroupCoordinator:
        coordinator = GroupCoordinator(
            log=self.log,
            clock=self.clock,
            config=self.config,
            topics=self.topics,
            new_member_id=lambda prefix: f"{prefix or 'm'}-{next(self._numbers)}",
        )
        coordinator.load()
        return coordinator


class Consumer:
    """
    One consumer of the group "g". `beat` is what a client does all the time: it reports, takes over what it is told,
    and gives up at once what it is no longer given.
    """

    def __init__(
        self,
        world: ConsumerWorld,
        name: str = "c",
        *,
        topics: frozenset[str] | set[str] | None = frozenset({"t"}),
        regex: str | None = None,
        instance_id: str | None = None,
        assignor: str | None = None,
        rebalance_timeout_ms: int = REBALANCE_MS,
    ) -> None:
        self.world = world
        self.member_id = name
        self.topics = topics
        self.regex = regex
        self.instance_id = instance_id
        self.assignor = assignor
        self.rebalance_timeout_ms = rebalance_timeout_ms
        self.epoch = 0
        self.owned: Partitions = {}
        self.unsure = False
        """An answer was lost, or an error: the next request says everything, so that the answer does."""

    def send(
        self,
        *,
        epoch: int | None = None,
        owned: Partitions | None = None,
        topics: frozenset[str] | None = None,
        regex: str | None = None,
        rebalance_timeout_ms: int = -1,
        assignor: str | None = None,
    ) -> HeartbeatResult:
        """One request as it is, with no consequences here."""
        return self.world.coordinator.consumer_heartbeat(
            HeartbeatRequest(
                group_id="g",
                member_id=self.member_id,
                member_epoch=self.epoch if epoch is None else epoch,
                instance_id=self.instance_id,
                client_id="client",
                client_host="127.0.0.1",
                rebalance_timeout_ms=rebalance_timeout_ms,
                subscribed_names=topics,
                subscribed_regex=regex,
                assignor=assignor,
                owned=owned,
            )
        )

    def join(self) -> HeartbeatResult:
        """With epoch 0 and everything that there is to say."""
        self.owned = {}
        return self.take(
            self.send(
                epoch=0,
                owned={},
                topics=None if self.topics is None else frozenset(self.topics),
                regex=self.regex,
                rebalance_timeout_ms=self.rebalance_timeout_ms,
                assignor=self.assignor,
            )
        )

    def beat(self) -> HeartbeatResult:
        """Joins if need be; else reports what it owns."""
        if self.epoch <= 0:
            return self.join()
        if not self.unsure:
            return self.take(self.send(owned=self.owned))
        return self.take(
            self.send(
                owned=self.owned,
                topics=frozenset(self.topics or ()),
                regex=self.regex or "",
                rebalance_timeout_ms=self.rebalance_timeout_ms,
            )
        )

    def take(self, result: HeartbeatResult) -> HeartbeatResult:
        """Does what the answer says."""
        self.unsure = result.error is not ErrorCode.NONE
        if result.error is ErrorCode.NONE:
            self.epoch = result.member_epoch
            if result.assignment is not None:
                self.owned = result.assignment
        elif result.error in (ErrorCode.FENCED_MEMBER_EPOCH, ErrorCode.UNKNOWN_MEMBER_ID):
            self.epoch, self.owned = 0, {}
        return result

    def leave(self, epoch: int = -1) -> HeartbeatResult:
        self.owned = {}
        result = self.send(epoch=epoch)
        self.epoch = 0
        return result

    def has(self, topic_id: TopicId | None = None) -> list[int]:
        """The partitions of "t", or of another topic, that it owns."""
        return sorted(self.owned.get(self.world.t if topic_id is None else topic_id, ()))


def settle(*consumers: Consumer, rounds: int = 6) -> None:
    """Everybody reports until nothing is left to do."""
    for _ in range(rounds):
        for consumer in consumers:
            result = consumer.beat()
            assert result.error is ErrorCode.NONE, result
