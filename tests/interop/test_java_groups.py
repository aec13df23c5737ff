"""The Java consumer in a group of two against `broker serve`, by Apache Kafka's verifiable consumer."""

import json
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from typing import IO, Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.interop.toolchain import kafka_jars
from tests.servers.broker_process import BrokerProcess

pytestmark = pytest.mark.interop

PARTITIONS = 4
COUNT = 400
SECONDS_MAX = 40


class Member:
    """A process with one consumer, and what it said of itself: JSON, a line an event."""

    def __init__(self, address: str, topic: str, protocol: str) -> None:
        self.events: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            [
                *("java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{kafka_jars()}/*"),
                *("org.apache.kafka.tools.VerifiableConsumer", "--bootstrap-server", address, "--topic", topic),
                *("--group-id", f"{topic}-group", "--group-protocol", protocol),
                *("--reset-policy", "earliest", "--verbose"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,))
        self._reader.start()

    def _read(self, lines: IO[bytes]) -> None:
        for line in lines:
            self.events.append(json.loads(line))

    def owned(self) -> set[int]:
        """Its partitions, by what it was given and what was taken from it."""
        owned: set[int] = set()
        for event in list(self.events):
            named = {place["partition"] for place in event.get("partitions", ()) if isinstance(place, dict)}
            if event["name"] == "partitions_assigned":
                owned |= named
            elif event["name"] == "partitions_revoked":
                owned -= named
        return owned

    def records(self) -> set[tuple[int, int, str]]:
        return {
            (event["partition"], event["offset"], event["value"])
            for event in list(self.events)
            if event["name"] == "record_data"
        }

    def stop(self) -> None:
        """SIGTERM, on which it leaves the group."""
        self._process.terminate()
        self._process.wait(20)
        self._reader.join(20)


def _wait(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < end, f"not within {SECONDS_MAX} s: {what}"
        time.sleep(0.05)


def _produce(address: str, topic: str, numbers: range) -> None:
    producer = Producer({"bootstrap.servers": address, "compression.type": "zstd"})
    for number in numbers:
        producer.produce(topic, f"value-{number}".encode(), partition=number % PARTITIONS)
    assert producer.flush(20) == 0


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_two_java_members_share_a_topic_and_one_takes_over(broker: BrokerProcess, protocol: str) -> None:
    """Alone with all partitions, then two and two, then alone again; every record is read."""
    topic = f"java-group-{protocol}-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(10)
    everything = set(range(PARTITIONS))
    members = [Member(broker.bootstrap, topic, protocol)]
    try:
        _wait(lambda: members[0].owned() == everything, "the first has all")
        members.append(Member(broker.bootstrap, topic, protocol))
        _wait(lambda: len(members[0].owned()) == len(members[1].owned()) == 2, "both have two")
        assert members[0].owned() | members[1].owned() == everything
        _produce(broker.bootstrap, topic, range(COUNT // 2))
        _wait(lambda: len(members[0].records() | members[1].records()) == COUNT // 2, "the first half")
        members[1].stop()
        _wait(lambda: members[0].owned() == everything, "the first has all again")
        _produce(broker.bootstrap, topic, range(COUNT // 2, COUNT))
        _wait(lambda: len(members[0].records() | members[1].records()) == COUNT, "all of it")
    finally:
        for member in members:
            member.stop()
    assert members[0].records() | members[1].records() == {
        (number % PARTITIONS, number // PARTITIONS, f"value-{number}") for number in range(COUNT)
    }
