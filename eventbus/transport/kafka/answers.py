"""What the admin client's futures answer, and which of a broker's errors are the operator's to mend."""

from concurrent.futures import Future
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

from eventbus.errors import BrokerUnavailable
from eventbus.transport.kafka.options import AWAY, describe

_T = TypeVar("_T")

REQUEST_SECONDS: Final = 3.0
OPERATORS_MATTER: Final = frozenset(
    {
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)


class Refused(Exception):
    """The broker did answer: with this error."""

    def __init__(self, error: KafkaError) -> None:
        super().__init__(describe(error))
        self.error = error


def answer(future: Future[_T], seconds: float = REQUEST_SECONDS, address: str | None = None) -> _T:
    """
    The future's result. Raises BrokerUnavailable, which names *address* where there is more than one log to think of,
    or Refused when the broker did answer, with an error.
    """
    place = "" if address is None else f" at {address}"
    try:
        return future.result(seconds * 2)
    except KafkaException as raised:
        error: KafkaError = raised.args[0]
        if error.code() >= 0 and not error.retriable() and error.code() not in AWAY:
            raise Refused(error) from raised
        raise BrokerUnavailable(f"no broker answered{place}: {describe(error)}") from raised
    except TimeoutError as raised:
        raise BrokerUnavailable(f"no broker answered{place} in time") from raised
