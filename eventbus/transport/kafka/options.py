"""
librdkafka's options, as eventbus needs them, and which of its errors mean what.

The delivery promises rest on the options that are reserved in `eventbus.kafka_options` (acks, idempotence, offsets,
isolation, partitioner); the others are starting values that the URL's options override.
"""

from collections.abc import Mapping

from confluent_kafka import KafkaError

from eventbus.config import SESSION_SECONDS, GroupProtocol
from eventbus.kafka_options import for_clients

Options = dict[str, str | int | float | bool]

_ALWAYS: Options = {
    # The framework says itself, once, that the broker is away; librdkafka would say it at every attempt.
    "log.connection.close": False,
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 250,
    "retry.backoff.max.ms": 250,
    "topic.metadata.refresh.interval.ms": 60_000,
}

_PRODUCER: Options = {
    # Services make their topics themselves, with their options; a topic made by the way would have the defaults.
    "allow.auto.create.topics": False,
    # How long a record waits for a topic that is not there; then it is refused, and blocks its key only.
    "topic.metadata.propagation.max.ms": 5000,
    "acks": "all",
    "enable.idempotence": True,
    "partitioner": "murmur2_random",
    # The relay hands over whole batches: it takes 2 ms to fill a request from one.
    "linger.ms": 2,
    # No end: a record that timed out could be written again behind a later one of its key.
    "message.timeout.ms": 0,
    "queue.buffering.max.messages": 100_000,
}

_TRANSACTIONAL: Options = {
    # Readers wait behind an open transaction: behind one of a process that was killed until its successor takes the id
    # over, and if there is none, for this long.
    "transaction.timeout.ms": 30_000,
}

_READING: Options = {
    "auto.offset.reset": "error",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "isolation.level": "read_committed",
    "fetch.queue.backoff.ms": 2,
    # Half of what librdkafka fetches ahead by default: a service has one such queue a consumer.
    "queued.max.messages.kbytes": 32_768,
}

_MEMBER: Options = {
    # Those that stay are read on during a rebalance.
    "partition.assignment.strategy": "cooperative-sticky",
    # A heartbeat brings the news of a rebalance, so this is how long a new member waits for the others.
    "heartbeat.interval.ms": 1000,
    "session.timeout.ms": int(SESSION_SECONDS * 1000),
}


def admin_options(shared: Mapping[str, str | int]) -> Options:
    """For looking and for creating topics."""
    return {**_ALWAYS, **for_clients(shared, "*")}


def producer_options(shared: Mapping[str, str | int]) -> Options:
    """For an idempotent producer that waits for every replica, however long the broker is away."""
    return {**_ALWAYS, **_PRODUCER, **for_clients(shared, "P")}


def transactional_options(shared: Mapping[str, str | int], transactional_id: str) -> Options:
    """For a producer that writes in transactions under that id, and is fenced by the next that takes it."""
    return {**producer_options(shared), **_TRANSACTIONAL, "transactional.id": transactional_id}


def member_options(
    shared: Mapping[str, str | int], group_id: str, instance_id: str | None, protocol: GroupProtocol
) -> Options:
    """For a group member that decides itself where it reads from."""
    static: Options = {} if instance_id is None else {"group.instance.id": instance_id}
    # Of the newer protocol the broker decides how partitions are shared out, and how long a session is.
    member: Options = _MEMBER if protocol == "classic" else {"group.protocol": protocol}
    return {**_ALWAYS, **member, **for_clients(shared, "C"), **_READING, "group.id": group_id, **static}


def reader_options(shared: Mapping[str, str | int]) -> Options:
    """For reading without a group: librdkafka asks the cluster for the id, and never joins it."""
    # Named like a group of the service, which are those that a cluster lets it use.
    group_id = f"{shared['client.id']}.reader"
    return {**_ALWAYS, **for_clients(shared, "C"), **_READING, "group.id": group_id}


AWAY = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError._WAIT_COORD,
        KafkaError._DESTROY,
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.CONCURRENT_TRANSACTIONS,
    }
)
"""Errors that pass: the same request may succeed later."""

REFUSED = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.INVALID_REQUIRED_ACKS,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.POLICY_VIOLATION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._INVALID_ARG,
    }
)
"""Errors of one record: sending it again as it is will not help."""


def describe(error: KafkaError) -> str:
    """One clause for a log line or an error's text."""
    return f"{error.str()} ({error.name()})"
