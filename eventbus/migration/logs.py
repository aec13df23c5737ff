"""
A log that is moved from or to: where it is, and that no service uses it meanwhile.

embedded:DIR   its broker is started for this move alone, and services are kept out as long as it lasts
kafka://…      no group that reads what is moved may have members; that nobody comes later is for the operator to see to
"""

import time
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from eventbus.config import BrokerUrl, EmbeddedBroker, KafkaCluster, LogInMemory
from eventbus.embedded.exclusive import ExclusiveBroker
from eventbus.errors import EventBusError, InvalidConfiguration
from eventbus.transport.kafka.administration import ClusterAdministration
from eventbus.transport.port import OffsetRange, TopicPartition

_PAUSE_SECONDS: Final = 0.25
# A killed relay's transaction is ended by the log after 30 s, a killed member is given up after 6 s.
PATIENCE_SECONDS: Final = 45.0

Say = Callable[[str], None]
"""Tells whoever waits what is waited for."""


class MigrationRefused(EventBusError):
    """The move cannot begin or go on. The text says why, and what to do; the source is as it was."""


@dataclass(frozen=True, slots=True)
class Log:
    """
    address   `host:port,…`
    options   librdkafka's
    name      for people: without options, which may hold secrets
    embedded  whether it is an embedded broker's
    """

    address: str
    options: Mapping[str, str]
    name: str
    embedded: bool
    cluster: ClusterAdministration
    cluster_id: str


@contextmanager
def opened(url: str, option: str) -> Generator[Log]:
    """The log at *url*, given by *option*. Raises InvalidConfiguration, DirectoryInUse, BrokerUnavailable."""
    try:
        broker = BrokerUrl.parse(url)
    except ValueError as error:
        raise InvalidConfiguration(f"{option}: {error}") from None
    match broker:
        case EmbeddedBroker(directory):
            with ExclusiveBroker(directory) as exclusive:
                yield _log(exclusive.address, {}, f"embedded:{directory}", embedded=True)
        case KafkaCluster(bootstrap, options):
            yield _log(bootstrap, options, f"kafka://{bootstrap}", embedded=False)
        case LogInMemory():
            raise InvalidConfiguration(f"{option} {url}: a log in memory is its process' own, and ends with it")


def _log(address: str, options: Mapping[str, str], name: str, *, embedded: bool) -> Log:
    cluster = ClusterAdministration(address, options)
    return Log(address, options, name, embedded, cluster, cluster.cluster_id())


def refuse_members(log: Log, topics: Collection[str], say: Say) -> None:
    """
    Waits for the members of every group that reads *topics* (none: any topic) to be gone, as long as killed processes'
    are kept. Raises MigrationRefused.
    """
    until = time.monotonic() + PATIENCE_SECONDS / 3
    while busy := {group: count for group, count in log.cluster.members(log.cluster.groups(), topics).items() if count}:
        words = ", ".join(f"{group} ({count})" for group, count in sorted(busy.items()))
        if time.monotonic() > until:
            raise MigrationRefused(f"{log.name}: consumers are running in {words}: stop every service first")
        say(f"waiting for the group to give up members that have gone: {words}")
        time.sleep(_PAUSE_SECONDS)


def settled_ranges(log: Log, topics: Mapping[str, int], say: Say) -> dict[TopicPartition, OffsetRange]:
    """
    The committed offsets of each partition, when no transaction is open any more: one that a killed relay has left is
    ended by the log. Raises MigrationRefused when one stays open.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        ranges = log.cluster.ranges(topics)
        ends = log.cluster.ranges(topics, committed=False)
        unsettled = [place for place, found in ranges.items() if found.end < ends[place].end]
        if not unsettled:
            return ranges
        words = ", ".join(f"{topic}-{partition}" for topic, partition in sorted(unsettled)[:5])
        if time.monotonic() > until:
            raise MigrationRefused(
                f"{log.name}: a transaction is open in {words}: something still writes; stop every service first"
            )
        say(f"waiting for the log to end a killed process' transaction in {words}")
        time.sleep(_PAUSE_SECONDS)
