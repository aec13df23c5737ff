"""
What librdkafka itself says of a URL's options: files that are not there, and options that do not go together.

It says so when a client is made, and services make theirs one after the other, some of them much later: so one of each
kind is made at the start, which takes milliseconds and connects to nobody.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaException, Producer

from eventbus.config import GroupProtocol
from eventbus.errors import InvalidConfiguration
from eventbus.transport.kafka.options import member_options, transactional_options


@contextmanager
def refused_options(place: str = "EVENTBUS_BROKER_URL") -> Generator[None]:
    """
    Clients that are made in the block: raises InvalidConfiguration, which begins with *place*, for what librdkafka does
    not take.
    """
    try:
        yield
    except (KafkaException, ValueError, TypeError) as error:
        reason = error.args[0].str() if isinstance(error, KafkaException) else error
        raise InvalidConfiguration(f"{place}: librdkafka refuses an option: {reason}") from error


def check_options(shared: Mapping[str, str | int], protocol: GroupProtocol) -> None:
    """Makes a client that reads in a group and one that writes. Raises InvalidConfiguration."""
    with refused_options():
        Consumer(member_options(shared, "eventbus-check", None, protocol)).close()
        Producer(transactional_options(shared, "eventbus-check"))
