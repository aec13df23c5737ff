"""A reader in a rack of three fetches from the replica in its rack (KIP-392), by `client.rack` in its URL."""

import uuid

import anyio
import pytest

from eventbus.testing.contracts.transport import begun, nothing_in_flight, outgoing, records_of
from eventbus.transport import KafkaTransport
from eventbus.transport.port import Published, TopicPartition
from tests.eventbus.transport.client_statistics import ClientStatistics, client_statistics
from tests.servers.logs import Clusters

__all__ = ["client_statistics"]

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240), pytest.mark.anyio]


@pytest.mark.parametrize("rack", [1, 2, 3])
async def test_a_consumer_fetches_from_the_replica_in_its_rack(
    kafka_cluster: Clusters, rack: int, client_statistics: ClientStatistics
) -> None:
    """Node N is in rack-N; librdkafka's own statistics say which node each partition is fetched from."""
    cluster = kafka_cluster(3)
    topic = f"racks-{uuid.uuid4().hex[:8]}"
    transport = KafkaTransport(cluster.bootstrap, options={"client.rack": f"rack-{rack}"})
    await transport.start()
    await transport.ensure_topics({topic: 3})
    assert {cluster.leader(topic, number) for number in range(3)} != {rack}, "all leaders are in its rack already"
    producer = transport.producer()
    assert all(isinstance(each, Published) for each in await producer.publish(outgoing(topic, range(30), None)))
    consumer = transport.consumer(topic, [topic], instance_id=None, revoked=nothing_in_flight)
    await begun(consumer, {TopicPartition(topic, number): 0 for number in range(3)})
    assert len(await records_of(consumer, 30)) == 30
    with anyio.fail_after(60):
        while client_statistics.fetched_from(topic) != dict.fromkeys(range(3), rack):
            # Leaders tell it of the nearer replica in an answer, so there has to be something to fetch.
            await producer.publish(outgoing(topic, range(3), None))
            await consumer.receive()
    await consumer.aclose()
    await producer.aclose()
    await transport.aclose()
