"""
The cluster at --bootstrap: any that speaks the Kafka protocol, reached through librdkafka.

Every call blocks. What the cluster refuses, and what cannot be reached, is `Refused` with a sentence.
"""

import difflib
import logging
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol, TypeVar, cast

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._group import ConsumerGroupDescription, ListConsumerGroupsResult
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._metadata import ClusterMetadata, TopicMetadata
from confluent_kafka.cimpl import NewPartitions, NewTopic

from broker.cli.address import UnreadableAddress, parse_address
from broker.cli.refused import Refused

T = TypeVar("T")

REQUEST_SECONDS = 15.0
_CONNECT_SECONDS = 5.0
_ELECTION_SECONDS = 5.0
_PAUSE_SECONDS = 0.1
# Their tries follow each other faster than a person's patience ends.
_QUIET = logging.getLogger("broker.librdkafka")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False

EARLIEST = cast("OffsetSpec", OffsetSpec.earliest())  # type: ignore[no-untyped-call]  # the stubs leave it open
LATEST = cast("OffsetSpec", OffsetSpec.latest())  # type: ignore[no-untyped-call]  # the stubs leave it open


def at_time(timestamp_ms: int) -> OffsetSpec:
    """The first offset at or after a time."""
    return cast("OffsetSpec", OffsetSpec.for_timestamp(timestamp_ms))


class _Offset(Protocol):
    offset: int


class _Deleted(Protocol):
    low_watermark: int


class ConfigLine(Protocol):
    """One config of a topic, a broker or a group."""

    name: str
    value: str | None
    source: int
    is_read_only: bool
    is_default: bool
    is_sensitive: bool


class _Admin(Protocol):
    """What the stubs leave open: futures of unknown things."""

    def create_topics(
        self, new_topics: Sequence[NewTopic], *, request_timeout: float
    ) -> Mapping[str, Future[None]]: ...
    def delete_topics(self, topics: Sequence[str], *, request_timeout: float) -> Mapping[str, Future[None]]: ...
    def create_partitions(
        self, new_partitions: Sequence[NewPartitions], *, request_timeout: float
    ) -> Mapping[str, Future[None]]: ...
    def delete_records(
        self, topic_partition_offsets: Sequence[TopicPartition], *, request_timeout: float
    ) -> Mapping[TopicPartition, Future[_Deleted]]: ...
    def describe_configs(
        self, resources: Sequence[ConfigResource], *, request_timeout: float
    ) -> Mapping[ConfigResource, Future[Mapping[str, ConfigLine]]]: ...
    def incremental_alter_configs(
        self, resources: Sequence[ConfigResource], *, request_timeout: float
    ) -> Mapping[ConfigResource, Future[None]]: ...
    def list_consumer_groups(self, *, request_timeout: float) -> Future[ListConsumerGroupsResult]: ...
    def describe_consumer_groups(
        self, group_ids: Sequence[str], *, request_timeout: float
    ) -> Mapping[str, Future[ConsumerGroupDescription]]: ...
    def delete_consumer_groups(
        self, group_ids: Sequence[str], *, request_timeout: float
    ) -> Mapping[str, Future[None]]: ...
    def list_consumer_group_offsets(
        self, list_consumer_group_offsets_request: Sequence[ConsumerGroupTopicPartitions], *, request_timeout: float
    ) -> Mapping[str, Future[ConsumerGroupTopicPartitions]]: ...
    def alter_consumer_group_offsets(
        self, alter_consumer_group_offsets_request: Sequence[ConsumerGroupTopicPartitions], *, request_timeout: float
    ) -> Mapping[str, Future[ConsumerGroupTopicPartitions]]: ...

    def list_offsets(
        self,
        topic_partition_offsets: Mapping[TopicPartition, OffsetSpec],
        *,
        isolation_level: IsolationLevel,
        request_timeout: float,
    ) -> Mapping[TopicPartition, Future[_Offset]]: ...


class Cluster:
    """
    *bootstrap* is HOST:PORT,…; *client* are settings of librdkafka, as `security.protocol`.

    Making it connects to the first address that can be reached. Raises Refused when none can.
    """

    def __init__(self, bootstrap: str, client: Mapping[str, str]) -> None:
        self.bootstrap = bootstrap
        self.is_plaintext = client.get("security.protocol", "plaintext").lower() == "plaintext"
        self._options: dict[str, str | int] = {**client, "bootstrap.servers": bootstrap, "log_level": 2}
        _reach(bootstrap)
        try:
            self._client = AdminClient(dict(self._options), logger=_QUIET)
        except KafkaException as error:
            raise Refused(f"--client: {error.args[0].str()}") from error
        self.admin = cast("_Admin", self._client)
        self._metadata: ClusterMetadata | None = None

    # ---- what is there

    def metadata(self) -> ClusterMetadata:
        """Brokers and topics, asked once; topics are not made by asking."""
        if self._metadata is None:
            try:
                self._metadata = self._client.list_topics(timeout=REQUEST_SECONDS)
            except KafkaException as error:
                raise self.refusal(error) from error
        return self._metadata

    def forget_metadata(self) -> None:
        """Topics have been made since it was asked."""
        self._metadata = None

    def topic(self, name: str) -> TopicMetadata:
        """The topic of that name. Raises Refused, which names what is there and sounds alike."""
        topics = self.metadata().topics
        found = topics.get(name)
        if found is None:
            raise Refused(f"there is no topic {name!r} at {self.bootstrap}{sounding_like(name, topics)}")
        if found.error is not None:
            raise Refused(f"topic {name!r}: {found.error.str()}")
        return found

    def partitions(self, topic: str, wanted: Sequence[int] = ()) -> list[TopicPartition]:
        """All partitions of *topic*, or those that are *wanted*. Raises Refused for one that is not there."""
        there = sorted(self.topic(topic).partitions)
        for number in wanted:
            if number not in there:
                raise Refused(f"topic {topic!r} has partitions 0 to {there[-1]}, not {number}")
        return [TopicPartition(topic, number) for number in sorted(set(wanted)) or there]

    def offsets(
        self, spec: OffsetSpec, partitions: Iterable[TopicPartition], *, committed: bool = False
    ) -> dict[tuple[str, int], int]:
        """
        What *spec* stands for in each partition; -1 when a time is behind its last record.

        With *committed*, "latest" is the last stable offset: what lies behind it is not decided. A broker that does not
        lead a partition yet, as of a topic that has just been made, is asked again for some seconds.
        """
        isolation = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        places = {TopicPartition(each.topic, each.partition): spec for each in partitions}
        if not places:
            return {}
        end = time.monotonic() + _ELECTION_SECONDS
        while True:
            futures = self.admin.list_offsets(places, isolation_level=isolation, request_timeout=REQUEST_SECONDS)
            try:
                return {(at.topic, at.partition): int(self.answer(future).offset) for at, future in futures.items()}
            except Refused as refused:
                if not _is_being_elected(refused.__cause__) or time.monotonic() > end:
                    raise
            time.sleep(_PAUSE_SECONDS)

    # ---- clients

    def consumer(self, options: Mapping[str, str | int | bool]) -> Consumer:
        """A consumer without a group of its own: it is to be assigned, and commits nothing."""
        return Consumer(
            {
                **self._options,
                "group.id": "broker-cli",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "allow.auto.create.topics": False,
                **options,
            },
            logger=_QUIET,
        )

    def producer(self, options: Mapping[str, str | int]) -> Producer:
        """A producer; its messages are to be flushed."""
        return Producer({**self._options, **options}, logger=_QUIET)

    # ---- answers

    def answer(self, future: "Future[T]", about: str = "") -> T:
        """The future's result. Raises Refused with the cluster's own words, behind what they are *about*."""
        try:
            return future.result(REQUEST_SECONDS * 2)
        except KafkaException as error:
            raise self.refusal(error, about) from error
        except TimeoutError as error:
            raise Refused(f"{self.bootstrap} did not answer within {REQUEST_SECONDS * 2:g} s") from error

    def refusal(self, error: KafkaException, about: str = "") -> Refused:
        """A sentence for what librdkafka says."""
        reason: KafkaError = error.args[0]
        if reason.code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT):
            return Refused(f"{self.bootstrap} does not answer ({reason.str()}); is it a Kafka-protocol address?")
        return Refused(f"{about}: {reason.str()}" if about else reason.str())


def _is_being_elected(error: BaseException | None) -> bool:
    """Whether that says of a partition that somebody else leads it, or nobody yet."""
    return isinstance(error, KafkaException) and error.args[0].code() in (
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
    )


def sounding_like(name: str, there: Iterable[str]) -> str:
    """`; did you mean …?` when something is called almost so, or how many there are."""
    names = sorted(there)
    near = difflib.get_close_matches(name, names, n=3)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; there are {len(names)}" if names else "; there are none"


def _reach(bootstrap: str) -> None:
    """Connects to the first address that takes a connection: librdkafka would try for long and say little."""
    reasons: list[str] = []
    for text in bootstrap.split(","):
        try:
            address = parse_address(text.strip(), "--bootstrap")
        except UnreadableAddress as error:
            raise Refused(str(error)) from error
        try:
            with socket.create_connection((address.host, address.port), timeout=_CONNECT_SECONDS):
                return
        except OSError as error:
            reasons.append(f"{address}: {error.strerror or error}")
    raise Refused(
        f"no broker can be reached ({'; '.join(reasons)}); start one with `broker serve`, "
        "or give its address with --bootstrap HOST:PORT"
    )
