"""A group's offsets in the log, which consoles and monitors read, and nobody else."""

import time
from collections.abc import Iterator

import anyio.to_thread
import pytest

from eventbus.testing.contracts.transport import begun, nothing_in_flight, outgoing
from eventbus.transport import KafkaTransport, TopicPartition
from eventbus.transport.kafka.administration import ClusterAdministration
from tests.broker.server.test_metrics import samples
from tests.servers.broker_process import BrokerProcess, running_broker

pytestmark = pytest.mark.anyio
PLACE = TopicPartition("orders", 0)


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with running_broker(tmp_path_factory.mktemp("offsets") / "broker", "--metrics-listen", "127.0.0.1:0") as running:
        yield running


async def test_commits_of_a_second_are_one_request_and_the_last_is_stored_at_the_end(broker: BrokerProcess) -> None:
    """Each is a write that the cluster replicates; whoever closes leaves the offset where it was."""
    transport = KafkaTransport(broker.bootstrap)
    await transport.start()
    await transport.ensure_topics({PLACE.topic: 1})
    producer = transport.producer()
    consumer = transport.consumer("shop", [PLACE.topic], instance_id=None, revoked=nothing_in_flight)
    await begun(consumer)
    began = time.monotonic()
    for number in range(60):
        await producer.publish(outgoing(PLACE.topic, [number]))
        with anyio.fail_after(30):
            while not (await consumer.receive()).batches:
                pass
        consumer.commit({PLACE: number + 1})
    with anyio.fail_after(30):
        while await group_offsets(broker) != {PLACE: 60}:
            await consumer.receive(records=False)
    seconds = time.monotonic() - began
    requests = samples(broker)["broker_request_seconds_count", (("api", "offset_commit"),)]
    assert requests <= seconds + 2
    consumer.commit({PLACE: 61})
    await consumer.aclose()
    assert await group_offsets(broker) == {PLACE: 61}
    await producer.aclose()
    await transport.aclose()


async def group_offsets(broker: BrokerProcess) -> dict[TopicPartition, int]:
    administration = ClusterAdministration(broker.bootstrap, {})
    return dict(await anyio.to_thread.run_sync(administration.group_offsets, "shop"))
