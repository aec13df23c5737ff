"""Topics as the admin client describes them: the one place that asks, for services and for commands."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol

from confluent_kafka import KafkaError, TopicCollection

from eventbus.errors import InvalidConfiguration
from eventbus.transport.kafka.answers import Refused, answer
from eventbus.transport.kafka.options import describe


class DescribedPartition(Protocol):
    """What is read of a partition's."""

    replicas: Sequence[object]


class DescribedTopic(Protocol):
    """What is read of an answer, which the client's stubs leave open."""

    topic_id: object
    is_internal: bool
    partitions: Sequence[DescribedPartition]


class DescribesTopics(Protocol):
    """The admin client as it is used here."""

    def describe_topics(
        self, topic_names: TopicCollection, *, request_timeout: float
    ) -> Mapping[str, Future[DescribedTopic]]:
        """A future for each topic."""
        ...


def described_topics(
    client: DescribesTopics, names: Sequence[str], *, cluster: str, seconds: float
) -> dict[str, DescribedTopic]:
    """
    Those of *names* that exist. *cluster* names it in the text of an error.

    Raises BrokerUnavailable when nobody answers, InvalidConfiguration when the cluster refuses to describe one.
    """
    if not names:
        return {}
    found: dict[str, DescribedTopic] = {}
    for name, future in client.describe_topics(TopicCollection(list(names)), request_timeout=seconds).items():
        try:
            found[name] = answer(future, seconds)
        except Refused as refused:
            if refused.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise InvalidConfiguration(
                    f"{cluster} does not describe topic {name!r}: {describe(refused.error)}"
                ) from refused
    return found
