"""The log in memory, where it goes beyond what every transport promises."""

import asyncio
import threading
from collections.abc import Callable, Coroutine

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus.testing.contracts.transport import begun, nothing_in_flight, outgoing, records_of
from eventbus.transport import Published, TopicPartition
from eventbus.transport.memory import MemoryLog, MemoryTransport
from eventbus.transport.memory.groups import Member, shares
from eventbus.transport.memory.waiter import Waiter

pytestmark = pytest.mark.anyio


async def test_a_transaction_leaves_a_marker_that_takes_an_offset() -> None:
    """A reader's position is behind it, as it is in Kafka."""
    transport = MemoryTransport(MemoryLog())
    await transport.ensure_topics({"orders": 1})
    producer = transport.transactional_producer("shop.0")
    await producer.take_over()
    await producer.publish(outgoing("orders", [1, 2]))
    (third,) = await producer.publish(outgoing("orders", [3]))
    assert isinstance(third, Published)
    assert third.offset == 3
    reader = transport.reader({TopicPartition("orders", 0): 0})
    (batch,) = await reader.read()
    assert [record.offset for record in batch.records] == [0, 1, 3]
    assert batch.next_offset == 5
    assert (await transport.describe(["orders"])).topics["orders"].partitions[0].end == 5
    (behind,) = await transport.reader({TopicPartition("orders", 0): 4}).read()
    assert (behind.records, behind.next_offset) == ([], 5)


async def test_a_group_keeps_the_offsets_that_its_members_stored() -> None:
    """Of partitions that they have."""
    log = MemoryLog()
    transport = MemoryTransport(log)
    await transport.ensure_topics({"orders": 1})
    consumer = transport.consumer("shop", ["orders"], instance_id=None, revoked=nothing_in_flight)
    await begun(consumer)
    consumer.commit({TopicPartition("orders", 0): 5, TopicPartition("orders", 1): 7})
    assert log.group_offsets("shop") == {TopicPartition("orders", 0): 5}
    assert log.group_offsets("nobody") == {}
    await consumer.aclose()


async def test_a_topic_that_is_made_later_is_assigned() -> None:
    """A service may start before the one that makes its topic."""
    transport = MemoryTransport(MemoryLog())
    consumer = transport.consumer("shop", ["orders"], instance_id=None, revoked=nothing_in_flight)
    assert (await consumer.receive(records=False)).assigned is None
    await transport.ensure_topics({"orders": 2})
    with anyio.fail_after(30):
        assert await begun(consumer) == {TopicPartition("orders", 0), TopicPartition("orders", 1)}
    await consumer.aclose()


async def test_a_log_is_shared_by_event_loops_in_other_threads() -> None:
    """What one writes wakes the other; a loop that is closed without a word leaves its group."""
    log = MemoryLog.named("threads")
    assert MemoryLog.named("threads") is log
    transport = MemoryTransport(log)
    await transport.ensure_topics({"orders": 1})

    async def join_and_go() -> None:
        consumer = MemoryTransport(log).consumer("shop", ["orders"], instance_id=None, revoked=nothing_in_flight)
        await begun(consumer)

    async def write() -> None:
        producer = MemoryTransport(log).producer()
        for number in range(100):
            await producer.publish(outgoing("orders", [number]))
            await asyncio.sleep(0)

    await _in_a_thread(join_and_go)
    consumer = transport.consumer("shop", ["orders"], instance_id=None, revoked=nothing_in_flight)
    await begun(consumer)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_in_a_thread, write)
        assert [record.value for record in await records_of(consumer, 100)] == [b"%d" % number for number in range(100)]
    await consumer.aclose()
    MemoryLog.forget("threads")
    assert MemoryLog.named("threads") is not log
    MemoryLog.forget("threads")


async def _in_a_thread(work: Callable[[], Coroutine[object, object, None]]) -> None:
    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    await anyio.to_thread.run_sync(thread.join)


@given(
    wanted=st.lists(st.sets(st.sampled_from("abc"), min_size=1), min_size=1, max_size=5),
    sizes=st.dictionaries(st.sampled_from("abc"), st.integers(1, 7)),
    leaving=st.integers(0, 4),
)
async def test_partitions_are_shared_evenly_and_stay_where_they_can(
    wanted: list[set[str]], sizes: dict[str, int], leaving: int
) -> None:
    """Each goes to one member that wants its topic; when a member leaves, only its own and few others move."""
    members = [Member(frozenset(topics), None, Waiter()) for topics in wanted]
    _set_targets(members, sizes)
    before = {place: member for member in members for place in member.target}
    everything = [TopicPartition(topic, number) for topic, count in sizes.items() for number in range(count)]
    assert sorted(before) == sorted(place for place in everything if any(place.topic in topics for topics in wanted))
    assert sum(len(member.target) for member in members) == len(before)
    for place, member in before.items():
        assert place.topic in member.topics
        assert all(len(member.target) - len(other.target) < 2 for other in members if place.topic in other.topics)
    assert shares(members, sizes) == [member.target for member in members]
    gone = members.pop(leaving % len(members))
    same_topics = all(member.topics == gone.topics for member in members)
    _set_targets(members, sizes)
    if same_topics:
        moved = {place for member in members for place in member.target if before[place] is not member}
        assert moved == (gone.target if members else set())


def _set_targets(members: list[Member], sizes: dict[str, int]) -> None:
    for member, target in zip(members, shares(members, sizes), strict=True):
        member.target = target
