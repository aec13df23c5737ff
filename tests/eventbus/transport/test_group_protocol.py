"""A member of a group by the protocol of KIP-848, where the broker shares the partitions out."""

import logging
import uuid
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest
from confluent_kafka import Consumer

from eventbus.testing.contracts.transport import begun, nothing_in_flight, outgoing, records_of
from eventbus.transport import KafkaTransport, RecordConsumer, TopicPartition
from tests.servers.broker_process import BrokerProcess, running_broker
from tests.servers.logs import Log


@pytest.fixture(scope="module")
def embedded_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """Of this module: as quick with its members as the cluster is."""
    quick = ("--set", "group.consumer.heartbeat.interval.ms=200", "--set", "group.consumer.session.timeout.ms=3000")
    with running_broker(tmp_path_factory.mktemp("protocol") / "broker", *quick) as broker:
        yield broker


@pytest.fixture
def group() -> str:
    """A group of the test's own."""
    return f"group-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def transport(log: Log) -> AsyncIterator[KafkaTransport]:
    transport = KafkaTransport(log.bootstrap, group_protocol="consumer")
    await transport.start()
    yield transport
    await transport.aclose()


@pytest.fixture
async def topic(transport: KafkaTransport) -> str:
    name = f"topic-{uuid.uuid4().hex[:8]}"
    await transport.ensure_topics({name: 4})
    return name


@pytest.mark.anyio
async def test_members_share_the_partitions_and_read_each_record_once(
    transport: KafkaTransport, topic: str, group: str
) -> None:
    """The second gets some, the first goes on with the rest, and takes everything back."""
    producer = transport.producer()
    first = transport.consumer(group, [topic], instance_id=None, revoked=nothing_in_flight)
    everything = await begun(first)
    assert len(everything) == 4
    second = transport.consumer(group, [topic], instance_id=None, revoked=nothing_in_flight)
    shares: dict[str, frozenset[TopicPartition]] = {"first": everything}

    async def follow(name: str, member: RecordConsumer) -> None:
        while True:
            found = await member.receive()
            if found.assigned is not None:
                shares[name] = found.assigned

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow, "first", first)
        tasks.start_soon(follow, "second", second)
        with anyio.fail_after(60):
            while shares["first"] | shares.get("second", frozenset()) != everything or len(shares["first"]) != 2:
                await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()
    assert not shares["first"] & shares["second"]
    second.read_from(dict.fromkeys(shares["second"], 0))
    await producer.publish([record for number in range(40) for record in outgoing(topic, [number], f"k{number}")])
    seen: list[int] = []

    async def read(name: str, member: RecordConsumer) -> None:
        while True:
            for batch in (await member.receive()).batches:
                assert TopicPartition(batch.topic, batch.partition) in shares[name]
                seen.extend(int(record.value or b"") for record in batch.records)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read, "first", first)
        tasks.start_soon(read, "second", second)
        with anyio.fail_after(60):
            while len(seen) < 40:
                await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()
    assert sorted(seen) == list(range(40))
    await second.aclose()
    with anyio.fail_after(60):
        while shares["first"] != everything:
            shares["first"] = (await first.receive()).assigned or shares["first"]
    await first.aclose()
    await producer.aclose()


@pytest.mark.anyio
async def test_a_name_that_a_killed_predecessor_still_has_is_waited_for(
    log: Log, transport: KafkaTransport, topic: str, group: str, caplog: pytest.LogCaptureFixture
) -> None:
    """UNRELEASED_INSTANCE_ID is fatal to the client: it is made anew until the name is free, and nothing ends."""
    options = {"bootstrap.servers": log.bootstrap, "group.id": group, "group.instance.id": "one"}
    predecessor = Consumer({**options, "group.protocol": "consumer", "auto.offset.reset": "earliest"})
    predecessor.subscribe([topic])
    while not predecessor.assignment():
        predecessor.poll(0.1)
    producer = transport.producer()
    await producer.publish(outgoing(topic, range(3)))
    member = transport.consumer(group, [topic], instance_id="one", revoked=nothing_in_flight)
    with caplog.at_level(logging.WARNING, "eventbus.transport"):
        for _ in range(3):
            assert (await member.receive(records=False)).assigned is None
    assert [record.message for record in caplog.records] == [
        f"consumer {group}: instance 'one' is another process's until its session ends; waiting for it"
    ]
    predecessor.close()
    assert len(await begun(member)) == 4
    assert [record.offset for record in await records_of(member, 3)] == [0, 1, 2]
    await member.aclose()
    await producer.aclose()
