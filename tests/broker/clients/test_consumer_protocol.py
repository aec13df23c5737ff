"""librdkafka with group.protocol=consumer (KIP-848), and groups that change over to it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, ConsumerGroupState, ConsumerGroupType, TopicPartition
from confluent_kafka.admin import NewPartitions

from tests.broker.clients.test_confluent_kafka import admin, create_topic, poll, produce, take, wait_for
from tests.servers.broker_process import BrokerProcess, running_broker

SETTINGS = (
    "--set",
    "group.consumer.session.timeout.ms=3000",
    "--set",
    "group.consumer.heartbeat.interval.ms=200",
)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker whose sessions are short: a client cannot choose its own in this protocol."""
    with running_broker(tmp_path_factory.mktemp("quick") / "data", *SETTINGS) as running:
        yield running
        assert "request failed" not in running.log


def consumer(broker: BrokerProcess, group: str, **settings: object) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": group,
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **{name.replace("_", "."): value for name, value in settings.items()},
        }
    )


def classic(broker: BrokerProcess, group: str, strategy: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": group,
            "group.protocol": "classic",
            "partition.assignment.strategy": strategy,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 200,
        }
    )


def group_type(broker: BrokerProcess, group: str) -> ConsumerGroupType | None:
    client = admin(broker)
    listed = client.list_consumer_groups().result(10).valid
    return next((each.type for each in listed if each.group_id == group), None)


@pytest.mark.parametrize("assignor", ["uniform", "range"])
def test_two_members_share_and_one_takes_over(quick: BrokerProcess, topic: str, assignor: str) -> None:
    """Everything is read once, committed, and read on from there by the one that stays."""
    create_topic(quick, topic, 4)
    first = consumer(quick, topic, group_remote_assignor=assignor)
    second = consumer(quick, topic, group_remote_assignor=assignor)
    first.subscribe([topic])
    second.subscribe([topic])
    wait_for(lambda: [len(poll(first)), len(poll(second))] == [2, 2])
    produce(quick, topic, [str(number).encode() for number in range(400)])
    values: set[int] = set()
    wait_for(lambda: len(take(first, values)) + len(take(second, values)) == 0 and len(values) == 400)
    first.commit(asynchronous=False)
    second.commit(asynchronous=False)
    client = admin(quick)
    described = client.describe_consumer_groups([topic])[topic].result(10)
    assert (described.state, described.type) == (ConsumerGroupState.STABLE, ConsumerGroupType.CONSUMER)
    assert described.partition_assignor == assignor
    assert sorted(len(member.assignment.topic_partitions) for member in described.members) == [2, 2]
    second.close()
    wait_for(lambda: len(poll(first)) == 4)
    produce(quick, topic, [str(number).encode() for number in range(400, 500)])
    read: list[int] = []
    wait_for(lambda: bool(read.extend(int(each.value()) for each in take(first, values)) or len(read) >= 100))
    assert sorted(read) == list(range(400, 500))
    first.close()


MEMBER = """
import sys
from confluent_kafka import Consumer
bootstrap, topic = sys.argv[1:]
consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, "group.protocol": "consumer"})
consumer.subscribe([topic])
while True:
    consumer.poll(0.1)
    print(len(consumer.assignment()), flush=True)
"""


def test_a_killed_member_is_replaced_after_its_session(quick: BrokerProcess, topic: str) -> None:
    """SIGKILL: the survivor has everything when the broker's session timeout is over."""
    create_topic(quick, topic, 2)
    survivor = consumer(quick, topic)
    survivor.subscribe([topic])
    command = [sys.executable, "-c", MEMBER, quick.bootstrap, topic]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as member:
        assert member.stdout is not None
        wait_for(lambda: len(poll(survivor)) == 1)
        member.kill()
    killed = time.monotonic()
    wait_for(lambda: len(poll(survivor)) == 2)
    assert time.monotonic() - killed < 30
    survivor.close()


def test_a_static_member_comes_back_to_its_partitions(quick: BrokerProcess, topic: str) -> None:
    """Without a new group epoch; a second one of the same instance is refused as long as the first one lives."""
    create_topic(quick, topic, 4)
    first, other = consumer(quick, topic, group_instance_id="i"), consumer(quick, topic)
    first.subscribe([topic])
    other.subscribe([topic])
    wait_for(lambda: [len(poll(first)), len(poll(other))] == [2, 2])
    had = {each.partition for each in first.assignment()}
    first.close()
    again = consumer(quick, topic, group_instance_id="i")
    again.subscribe([topic])
    wait_for(lambda: len(poll(again)) == 2)
    assert {each.partition for each in again.assignment()} == had
    assert len(poll(other)) == 2
    impostor = consumer(quick, topic, group_instance_id="i")
    impostor.subscribe([topic])
    message = impostor.poll(10)
    assert message is not None
    assert message.error() is not None
    assert "UNRELEASED" in message.error().name() or "FATAL" in message.error().name()
    assert len(poll(again)) == 2
    for each in (again, other, impostor):
        each.close()


def test_a_subscription_by_expression_finds_topics_that_come_later(quick: BrokerProcess, topic: str) -> None:
    """The broker matches, by RE2."""
    create_topic(quick, f"{topic}-a", 1)
    create_topic(quick, f"other-{topic}", 1)
    reader = consumer(quick, topic)
    reader.subscribe([f"^{topic}-.*"])
    wait_for(lambda: {each.topic for each in poll(reader)} == {f"{topic}-a"})
    create_topic(quick, f"{topic}-b", 2)
    wait_for(lambda: {each.topic for each in poll(reader)} == {f"{topic}-a", f"{topic}-b"})
    assert len(reader.assignment()) == 3
    reader.close()


def test_partitions_that_are_added_are_assigned(quick: BrokerProcess, topic: str) -> None:
    """With the next heartbeat."""
    create_topic(quick, topic, 1)
    reader = consumer(quick, topic)
    reader.subscribe([topic])
    wait_for(lambda: len(poll(reader)) == 1)
    client = admin(quick)
    client.create_partitions([NewPartitions(topic, 3)])[topic].result(10)
    wait_for(lambda: len(poll(reader)) == 3)
    reader.close()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_group_goes_on_after_the_broker_was_away(tmp_path: Path, end: str) -> None:
    """Members, assignments and commits are found again; nobody is rebalanced."""
    with running_broker(tmp_path / "data", *SETTINGS) as broker:
        create_topic(broker, "t", 4)
        first, second = consumer(broker, "g"), consumer(broker, "g")
        first.subscribe(["t"])
        second.subscribe(["t"])
        wait_for(lambda: [len(poll(first)), len(poll(second))] == [2, 2])
        mine = first.assignment()[0].partition
        first.commit(offsets=[TopicPartition("t", mine, 5, "note")], asynchronous=False)
        had = [{each.partition for each in reader.assignment()} for reader in (first, second)]
        getattr(broker, end)()
        broker.start()
        until = time.monotonic() + 4
        while time.monotonic() < until:
            poll(first)
            poll(second)
        assert [{each.partition for each in reader.assignment()} for reader in (first, second)] == had
        committed = first.committed([TopicPartition("t", mine)], timeout=10)
        assert (committed[0].offset, committed[0].metadata) == (5, "note")
        first.close()
        second.close()


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_a_group_is_upgraded_and_downgraded_while_it_runs(quick: BrokerProcess, topic: str, strategy: str) -> None:
    """One member after the other; what was committed stays, and everything that is produced is read."""
    create_topic(quick, topic, 4)
    old = [classic(quick, topic, strategy) for _ in range(2)]
    for each in old:
        each.subscribe([topic])
    wait_for(lambda: [len(poll(each)) for each in old] == [2, 2])
    old[0].commit(offsets=[TopicPartition(topic, old[0].assignment()[0].partition, 0)], asynchronous=False)
    assert group_type(quick, topic) is ConsumerGroupType.CLASSIC
    new = [consumer(quick, topic)]
    new[0].subscribe([topic])
    wait_for(lambda: sorted(len(poll(each)) for each in (*old, *new)) == [1, 1, 2])
    assert group_type(quick, topic) is ConsumerGroupType.CONSUMER
    old.pop().close()
    new.append(consumer(quick, topic))
    new[1].subscribe([topic])
    wait_for(lambda: sorted(len(poll(each)) for each in (*old, *new)) == [1, 1, 2])
    old.pop().close()
    wait_for(lambda: [len(poll(each)) for each in new] == [2, 2])
    produce(quick, topic, [str(number).encode() for number in range(100)])
    values: set[int] = set()
    wait_for(lambda: sum(len(take(each, values)) for each in new) == 0 and len(values) == 100)
    for each in new:
        each.commit(asynchronous=False)
    # And the way back.
    back = classic(quick, topic, strategy)
    back.subscribe([topic])
    wait_for(lambda: sorted(len(poll(each)) for each in (back, *new)) == [1, 1, 2])
    for each in new:
        each.close()
    wait_for(lambda: len(poll(back)) == 4)
    assert group_type(quick, topic) is ConsumerGroupType.CLASSIC
    produce(quick, topic, [str(number).encode() for number in range(100, 200)])
    read: set[int] = set()
    wait_for(lambda: len(take(back, read)) == 0 and len(read) >= 100)
    assert read == set(range(100, 200))
    back.close()
