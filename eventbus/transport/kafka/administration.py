"""
What planning, checking and moving topics asks of a cluster: librdkafka's admin client behind a typed face.

Every call blocks. Errors: BrokerUnavailable when nobody answers; InvalidConfiguration when the cluster refuses, with
its words.
"""

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar, cast

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
)
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource, ConfigSource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from eventbus.errors import BrokerUnavailable, InvalidConfiguration
from eventbus.transport.kafka.answers import OPERATORS_MATTER, Refused, answer
from eventbus.transport.kafka.described_topics import DescribedTopic, DescribesTopics, described_topics
from eventbus.transport.kafka.listed_offsets import ListsOffsets, offset_ranges
from eventbus.transport.kafka.option_checks import refused_options
from eventbus.transport.kafka.options import admin_options, describe
from eventbus.transport.port import OffsetRange, TopicPartition

_R = TypeVar("_R")

_SECONDS: Final = 10.0
_VISIBLE_SECONDS: Final = 15.0
_PAUSE_SECONDS: Final = 0.05
# The client gives the number, its annotation promises the member.
_OWN: Final[frozenset[object]] = frozenset({ConfigSource.DYNAMIC_TOPIC_CONFIG, ConfigSource.DYNAMIC_TOPIC_CONFIG.value})
# A command says itself, once, what went wrong; librdkafka would say it at every attempt.
_CLOSED: Final = logging.getLogger("eventbus.librdkafka.commands")
_CLOSED.setLevel(logging.CRITICAL)


class _Cluster(Protocol):
    cluster_id: str | None
    nodes: Sequence[object]


class _Group(Protocol):
    group_id: str


class _Groups(Protocol):
    valid: Sequence[_Group]


class _Assignment(Protocol):
    topic_partitions: Sequence[KafkaPartition]


class _Member(Protocol):
    assignment: _Assignment


class _Members(Protocol):
    members: Sequence[_Member]


class _GroupOffsets(Protocol):
    topic_partitions: Sequence[KafkaPartition]


class _Metadata(Protocol):
    topics: Mapping[str, object]


class _Client(ListsOffsets, DescribesTopics, Protocol):
    """The admin client as it is used here: the stubs' own answers are futures of unknown things."""

    def list_topics(self, *, timeout: float) -> _Metadata: ...
    def describe_cluster(self, *, request_timeout: float) -> Future[_Cluster]: ...
    def describe_configs(
        self, resources: Sequence[ConfigResource], *, request_timeout: float
    ) -> Mapping[ConfigResource, Future[Mapping[str, ConfigEntry]]]: ...
    def incremental_alter_configs(
        self, resources: Sequence[ConfigResource], *, request_timeout: float
    ) -> Mapping[ConfigResource, Future[None]]: ...
    def create_topics(
        self, new_topics: Sequence[NewTopic], *, request_timeout: float
    ) -> Mapping[str, Future[None]]: ...
    def list_consumer_groups(self, *, request_timeout: float) -> Future[_Groups]: ...
    def describe_consumer_groups(
        self, group_ids: Sequence[str], *, request_timeout: float
    ) -> Mapping[str, Future[_Members]]: ...
    def list_consumer_group_offsets(
        self, requests: Sequence[ConsumerGroupTopicPartitions], *, request_timeout: float
    ) -> Mapping[str, Future[_GroupOffsets]]: ...
    def alter_consumer_group_offsets(
        self, requests: Sequence[ConsumerGroupTopicPartitions], *, request_timeout: float
    ) -> Mapping[str, Future[_GroupOffsets]]: ...


@dataclass(frozen=True, slots=True)
class TopicState:
    """
    A topic as a cluster has it.

    replicas    of the partition that has the fewest
    own         its settings that were set for it, beside the cluster's
    effective   all of its settings
    """

    topic_id: str
    partitions: int
    replicas: int
    own: Mapping[str, str]
    effective: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TopicRequest:
    """A topic to be made; *replicas* None: as many as the cluster gives by default."""

    partitions: int
    replicas: int | None
    configs: Mapping[str, str]


class ClusterAdministration:
    """The cluster at *bootstrap*, reached with librdkafka's *options*."""

    def __init__(self, bootstrap: str, options: Mapping[str, str]) -> None:
        self.address: Final = bootstrap
        shared = {**options, "bootstrap.servers": bootstrap, "client.id": "eventbus"}
        with refused_options(f"kafka://{bootstrap}"):
            self._client = cast("_Client", AdminClient(admin_options(shared), logger=_CLOSED))

    def cluster_id(self) -> str:
        """The cluster's id."""
        return self._answer(self._client.describe_cluster(request_timeout=_SECONDS)).cluster_id or ""

    def brokers(self) -> int:
        """How many brokers answer for the cluster now."""
        return len(self._answer(self._client.describe_cluster(request_timeout=_SECONDS)).nodes)

    def names(self) -> list[str]:
        """The topics that are not the cluster's own, by name."""
        try:
            found = list(self._client.list_topics(timeout=_SECONDS).topics)
        except KafkaException as raised:
            raise BrokerUnavailable(f"{self.address} does not answer: {describe(raised.args[0])}") from raised
        return sorted(name for name, topic in self._described(found).items() if not topic.is_internal)

    def topics(self, names: Sequence[str]) -> dict[str, TopicState]:
        """Those of *names* that exist."""
        described = self._described(names)
        if not described:
            return {}
        resources = {name: ConfigResource(ResourceType.TOPIC, name) for name in described}
        configs = self._client.describe_configs(list(resources.values()), request_timeout=_SECONDS)
        found: dict[str, TopicState] = {}
        for name, topic in described.items():
            entries = self._answer(configs[resources[name]]).values()
            effective = {entry.name: entry.value for entry in entries if entry.value is not None}
            dynamic = {entry.name for entry in entries if cast("object", entry.source) in _OWN}
            found[name] = TopicState(
                str(topic.topic_id),
                len(topic.partitions),
                min((len(partition.replicas) for partition in topic.partitions), default=0),
                {key: value for key, value in effective.items() if key in dynamic},
                effective,
            )
        return found

    def create(self, topics: Mapping[str, TopicRequest]) -> None:
        """Makes the topics; one that exists already is left as it is. Returns when they can be described."""
        new = [
            NewTopic(
                name,
                num_partitions=topic.partitions,
                replication_factor=-1 if topic.replicas is None else topic.replicas,
                config=dict(topic.configs),
            )
            for name, topic in topics.items()
        ]
        if not new:
            return
        for name, future in self._client.create_topics(new, request_timeout=_SECONDS).items():
            try:
                answer(future, _SECONDS)
            except Refused as refused:
                if refused.error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    continue
                if refused.error.code() in OPERATORS_MATTER:
                    raise InvalidConfiguration(
                        f"{self.address} refuses to create topic {name!r}: {describe(refused.error)}"
                    ) from refused
                raise BrokerUnavailable(f"creating topic {name!r}: {describe(refused.error)}") from refused
        until = time.monotonic() + _VISIBLE_SECONDS
        while len(self._described(list(topics))) < len(topics):
            if time.monotonic() > until:
                raise BrokerUnavailable(f"{self.address} does not show the topics that it has created")
            time.sleep(_PAUSE_SECONDS)

    def alter(self, topic: str, configs: Mapping[str, str | None]) -> None:
        """Sets these settings of a topic; None: takes the topic's own away, so that the cluster's holds again."""
        entries = [
            ConfigEntry(
                name,
                value,
                incremental_operation=AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET,
            )
            for name, value in configs.items()
        ]
        if entries:
            resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
            for future in self._client.incremental_alter_configs([resource], request_timeout=_SECONDS).values():
                self._answer(future)

    def ranges(self, topics: Mapping[str, int], *, committed: bool = True) -> dict[TopicPartition, OffsetRange]:
        """The offsets of each partition of these topics, given with their numbers of partitions."""
        try:
            return offset_ranges(self._client, topics, committed=committed, seconds=_SECONDS)
        except Refused as refused:
            raise self._refusal(refused) from refused

    def groups(self) -> list[str]:
        """Every consumer group that the cluster knows."""
        found = self._answer(self._client.list_consumer_groups(request_timeout=_SECONDS))
        return sorted(group.group_id for group in found.valid)

    def members(self, groups: Sequence[str], topics: Collection[str] = ()) -> dict[str, int]:
        """
        How many members each of *groups* has now. With *topics*: 0 for a group that reads none of them; one that is
        about to share its partitions out anew may read any.
        """
        if not groups:
            return {}
        described = self._client.describe_consumer_groups(list(groups), request_timeout=_SECONDS)
        found: dict[str, int] = {}
        for group, future in described.items():
            members = self._answer(future).members
            read = {place.topic for member in members for place in member.assignment.topic_partitions}
            found[group] = 0 if topics and read and read.isdisjoint(topics) else len(members)
        return found

    def group_offsets(self, group: str) -> dict[TopicPartition, int]:
        """The offsets that a group has committed."""
        asked = self._client.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group)], request_timeout=_SECONDS
        )
        return {
            TopicPartition(found.topic, found.partition): found.offset
            for future in asked.values()
            for found in self._answer(future).topic_partitions
            if found.offset >= 0
        }

    def set_group_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Commits *offsets* for a group without members."""
        places = [KafkaPartition(place.topic, place.partition, offset) for place, offset in offsets.items()]
        request = ConsumerGroupTopicPartitions(group, places)
        for future in self._client.alter_consumer_group_offsets([request], request_timeout=_SECONDS).values():
            for place in self._answer(future).topic_partitions:
                if place.error is not None:
                    raise InvalidConfiguration(
                        f"{self.address} does not take the offset of group {group!r} in "
                        f"{place.topic}-{place.partition}: {describe(place.error)}"
                    )

    def _described(self, names: Sequence[str]) -> dict[str, DescribedTopic]:
        return described_topics(self._client, names, cluster=self.address, seconds=_SECONDS)

    def _answer(self, future: Future[_R]) -> _R:
        try:
            return answer(future, _SECONDS, self.address)
        except Refused as refused:
            raise self._refusal(refused) from refused

    def _refusal(self, refused: Refused) -> InvalidConfiguration:
        return InvalidConfiguration(f"{self.address} refuses: {describe(refused.error)}")
