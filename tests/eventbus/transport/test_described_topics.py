"""Which topics exist, as services and commands alike are told; whole answers are the contract suites' (`describe`)."""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection

from eventbus.errors import BrokerUnavailable, InvalidConfiguration
from eventbus.transport.kafka.described_topics import DescribedPartition, DescribedTopic, described_topics


@dataclass
class Partition:
    replicas: tuple[object, ...] = ()


@dataclass
class Topic:
    topic_id: object
    is_internal: bool
    partitions: tuple[DescribedPartition, ...]


ORDERS = Topic("id", is_internal=False, partitions=(Partition(),))


class Cluster:
    """An admin client that answers each topic with what it is given."""

    def __init__(self, **answers: Topic | int) -> None:
        self._answers = answers

    def describe_topics(
        self, topic_names: TopicCollection, *, request_timeout: float
    ) -> Mapping[str, Future[DescribedTopic]]:
        found: dict[str, Future[DescribedTopic]] = {}
        for name, given in self._answers.items():
            future: Future[DescribedTopic] = Future()
            if isinstance(given, int):
                future.set_exception(KafkaException(KafkaError(given)))
            else:
                future.set_result(given)
            found[name] = future
        return found


def test_what_does_not_exist_is_not_in_the_answer() -> None:
    """Of two topics one is there."""
    client = Cluster(orders=ORDERS, payments=KafkaError.UNKNOWN_TOPIC_OR_PART)
    found = described_topics(client, ["orders", "payments"], cluster="k1:9092", seconds=1)
    assert found == {"orders": ORDERS}


def test_a_refusal_names_the_cluster_and_the_topic() -> None:
    """It is the operator's to mend: waiting would not help."""
    client = Cluster(orders=KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(InvalidConfiguration, match="k1:9092 does not describe topic 'orders'"):
        described_topics(client, ["orders"], cluster="k1:9092", seconds=1)


def test_nobody_who_answers_is_an_absence() -> None:
    """Of the broker, not of the topic: nothing is created for it."""
    client = Cluster(orders=ORDERS, payments=KafkaError._TIMED_OUT)
    with pytest.raises(BrokerUnavailable):
        described_topics(client, ["orders", "payments"], cluster="k1:9092", seconds=1)


def test_nothing_is_asked_for_no_topics() -> None:
    """A client without an answer is not asked."""
    assert described_topics(Cluster(), [], cluster="k1:9092", seconds=1) == {}
