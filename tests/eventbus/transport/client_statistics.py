"""What librdkafka counts inside of the framework's consumers; it tells so ten times a second."""

import json
import logging
from collections.abc import Mapping
from typing import TypedDict

import pytest
from confluent_kafka import Consumer

__all__ = ["ClientStatistics", "client_statistics"]


class _Broker(TypedDict):
    req: Mapping[str, int]


class _Partition(TypedDict):
    partition: int
    broker: int


class _Topic(TypedDict):
    partitions: Mapping[str, _Partition]


class _Told(TypedDict):
    brokers: Mapping[str, _Broker]
    topics: Mapping[str, _Topic]


class ClientStatistics:
    """Of the consumer that has told last; `times` says how often that was."""

    def __init__(self) -> None:
        self.times = 0
        self._told: _Told = {"brokers": {}, "topics": {}}

    def requests(self, name: str) -> int:
        """How many of that name (`OffsetCommit`) it has sent."""
        return sum(broker["req"].get(name, 0) for broker in self._told["brokers"].values())

    def fetched_from(self, topic: str) -> dict[int, int]:
        """The node that each partition is read from."""
        found = self._told["topics"].get(topic, {"partitions": {}})["partitions"].values()
        return {partition["partition"]: partition["broker"] for partition in found if partition["partition"] >= 0}

    def consumer(self, options: Mapping[str, str | int], *, logger: logging.Logger) -> Consumer:
        """A consumer that tells."""
        return Consumer({**options, "statistics.interval.ms": 100, "stats_cb": self._note}, logger=logger)

    def _note(self, text: str) -> None:
        self._told = json.loads(text)
        self.times += 1


@pytest.fixture
def client_statistics(monkeypatch: pytest.MonkeyPatch) -> ClientStatistics:
    """Of the consumers that are made from here on."""
    statistics = ClientStatistics()
    monkeypatch.setattr("eventbus.transport.kafka.consumer.Consumer", statistics.consumer)
    return statistics
