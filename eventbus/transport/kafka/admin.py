"""Topics, identities and offsets: librdkafka's admin client behind a typed face. Every call blocks."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol, cast

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from eventbus.errors import BrokerUnavailable, InvalidConfiguration
from eventbus.transport.kafka.answers import OPERATORS_MATTER, REQUEST_SECONDS, Refused, answer
from eventbus.transport.kafka.described_topics import DescribedTopic, DescribesTopics, described_topics
from eventbus.transport.kafka.group_assignment import ListsGroups, assigned_partitions
from eventbus.transport.kafka.listed_offsets import ListsOffsets, offset_ranges
from eventbus.transport.kafka.option_checks import refused_options
from eventbus.transport.kafka.options import Options, describe
from eventbus.transport.kafka.replication import Replication
from eventbus.transport.port import LogDescription, TopicDescription, TopicPartition

_log = logging.getLogger("eventbus.transport")


class _Cluster(Protocol):
    """What is read of the answers of the admin client, whose stubs leave them open."""

    cluster_id: str | None
    nodes: Sequence[object]


class _Client(ListsOffsets, DescribesTopics, ListsGroups, Protocol):
    """The admin client as it is used here: the stubs' own answers are futures of unknown things."""

    def poll(self, timeout: float) -> int: ...
    def list_topics(self, *, timeout: float) -> object: ...
    def describe_cluster(self, *, request_timeout: float) -> Future[_Cluster]: ...
    def create_topics(
        self, new_topics: Sequence[NewTopic], *, request_timeout: float
    ) -> Mapping[str, Future[None]]: ...


class KafkaAdmin:
    """One admin client, made at the first call."""

    def __init__(self, options: Options, on_error: Callable[[KafkaError], None], logger: logging.Logger) -> None:
        self._options = options
        self._on_error = on_error
        self._logger = logger
        self._made: _Client | None = None

    def open(self) -> None:
        """Makes the client. Raises InvalidConfiguration for an option that librdkafka does not take."""
        with refused_options():
            self._client()

    def close(self) -> None:
        """Lets the client go."""
        self._made = None

    def _client(self) -> _Client:
        if self._made is None:
            self._made = cast("_Client", AdminClient(self._options, error_cb=self._on_error, logger=self._logger))
        # Log lines and error callbacks wait in the client's queue until somebody polls.
        self._made.poll(0)
        return self._made

    def cluster_id(self, seconds: float = REQUEST_SECONDS) -> str:
        """The cluster's id. Raises BrokerUnavailable when nobody answers in time."""
        return self._cluster(seconds).cluster_id or ""

    def _cluster(self, seconds: float) -> _Cluster:
        """
        What the controller answers that this client has last heard of. It may be a node that has died: only metadata
        names another, for which librdkafka asks once a minute, so it is asked for here.
        """
        try:
            return answer(self._client().describe_cluster(request_timeout=seconds))
        except BrokerUnavailable:
            try:
                self._client().list_topics(timeout=seconds)
            except KafkaException as raised:
                raise BrokerUnavailable(f"no broker answered: {describe(raised.args[0])}") from raised
            return answer(self._client().describe_cluster(request_timeout=seconds))

    def partitions(self, topics: Sequence[str]) -> dict[str, int]:
        """How many partitions each topic has that exists."""
        return {topic: len(found.partitions) for topic, found in self._described(topics).items()}

    def left_over(self, group_id: str, topics: Sequence[str]) -> frozenset[TopicPartition]:
        """
        The partitions of *topics* that no member of a group has; none while it is sharing them out anew.

        Raises BrokerUnavailable.
        """
        assigned = assigned_partitions(self._client(), group_id)
        if assigned is None:
            return frozenset()
        counts = self.partitions(topics)
        return (
            frozenset(TopicPartition(topic, number) for topic in counts for number in range(counts[topic])) - assigned
        )

    def _described(self, topics: Sequence[str]) -> dict[str, DescribedTopic]:
        cluster = "EVENTBUS_BROKER_URL: the cluster"
        return described_topics(self._client(), topics, cluster=cluster, seconds=REQUEST_SECONDS)

    def describe(self, topics: Sequence[str]) -> LogDescription:
        """See `Transport.describe`."""
        cluster_id = self.cluster_id()
        described = self._described(topics)
        counts = {topic: len(found.partitions) for topic, found in described.items()}
        ranges = offset_ranges(self._client(), counts, committed=True, seconds=REQUEST_SECONDS)
        return LogDescription(
            cluster_id,
            {
                topic: TopicDescription(
                    str(found.topic_id),
                    tuple(ranges[TopicPartition(topic, number)] for number in range(counts[topic])),
                )
                for topic, found in described.items()
            },
        )

    def create(self, topics: Mapping[str, int], options: Mapping[str, str], replication: int | None = None) -> None:
        """
        Creates topics with these numbers of partitions; one that exists already is left as it is. *replication* None:
        what is right for the number of brokers.

        Raises InvalidConfiguration when the cluster refuses for good, BrokerUnavailable when it may do it later.
        """
        brokers = len(self._cluster(REQUEST_SECONDS).nodes)
        wanted = Replication.on(brokers, replication)
        replicas = -1 if wanted.replicas is None else wanted.replicas
        new = [
            NewTopic(
                topic, num_partitions=partitions, replication_factor=replicas, config={**wanted.configs, **options}
            )
            for topic, partitions in topics.items()
        ]
        futures = self._client().create_topics(new, request_timeout=REQUEST_SECONDS)
        for topic, future in futures.items():
            try:
                answer(future)
            except Refused as refused:
                if refused.error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    continue
                if refused.error.code() in OPERATORS_MATTER:
                    raise InvalidConfiguration(
                        f"EVENTBUS_BROKER_URL: the cluster refuses to create topic {topic!r} with "
                        f"{topics[topic]} partitions: {describe(refused.error)}; create it by hand, or mend the name"
                    ) from refused
                raise BrokerUnavailable(f"creating topic {topic!r}: {describe(refused.error)}") from refused
            _log.info("topic %s created with %d partitions", topic, topics[topic])
