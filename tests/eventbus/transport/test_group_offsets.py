"""A group's offsets in the log, which consoles and monitors read, and nobody else."""

import time
import uuid

import anyio.to_thread
import pytest

from eventbus.testing.contracts.transport import begun, nothing_in_flight, outgoing
from eventbus.transport import KafkaTransport, TopicPartition
from eventbus.transport.kafka.administration import ClusterAdministration
from tests.eventbus.transport.client_statistics import ClientStatistics
from tests.servers.logs import Log

pytestmark = pytest.mark.anyio


async def test_commits_of_a_second_are_one_request_and_the_last_is_stored_at_the_end(
    log: Log, client_statistics: ClientStatistics
) -> None:
    """Each is a write that the cluster replicates; whoever closes leaves the offset where it was."""
    transport = KafkaTransport(log.bootstrap)
    await transport.start()
    place = TopicPartition(f"orders-{uuid.uuid4().hex[:8]}", 0)
    group = f"group-{uuid.uuid4().hex[:8]}"
    await transport.ensure_topics({place.topic: 1})
    producer = transport.producer()
    consumer = transport.consumer(group, [place.topic], instance_id=None, revoked=nothing_in_flight)
    await begun(consumer)
    began = time.monotonic()
    for number in range(60):
        await producer.publish(outgoing(place.topic, [number]))
        with anyio.fail_after(30):
            while not (await consumer.receive()).batches:
                pass
        consumer.commit({place: number + 1})
    with anyio.fail_after(30):
        while await group_offsets(log, group) != {place: 60}:
            await consumer.receive(records=False)
        all_sent = client_statistics.times
        while client_statistics.times == all_sent:
            await consumer.receive(records=False)
    assert 1 <= client_statistics.requests("OffsetCommit") <= time.monotonic() - began + 2
    consumer.commit({place: 61})
    await consumer.aclose()
    assert await group_offsets(log, group) == {place: 61}
    await producer.aclose()
    await transport.aclose()


async def group_offsets(log: Log, group: str) -> dict[TopicPartition, int]:
    administration = ClusterAdministration(log.bootstrap, {})
    return dict(await anyio.to_thread.run_sync(administration.group_offsets, group))
