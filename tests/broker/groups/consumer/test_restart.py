"""What a restart of the broker finds of consumer groups."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import ErrorCode
from broker.groups.consumer.stored import (
    ConsumerGroupRecord,
    CurrentRecord,
    GroupEpochRecord,
    MemberRecord,
    RegexRecord,
    TargetEpochRecord,
    TargetRecord,
)
from broker.groups.consumer.values import (
    ClassicProtocols,
    CurrentAssignment,
    GroupEpoch,
    MemberMetadata,
    MemberState,
    ResolvedRegex,
    TargetEpoch,
)
from broker.groups.offset_log import LogRecord
from broker.groups.records import UnreadableRecord, decode, encode
from broker.identifiers import TopicId
from tests.broker.groups.consumer.harness import SESSION_MS, Consumer, ConsumerWorld, settle

_i32 = st.integers(0, 2**31 - 1)
_i64 = st.integers(-(2**63), 2**63 - 1)
_text = st.text(max_size=20)
_maybe = st.none() | _text
_topic_ids = st.uuids().map(TopicId)
_owned = st.dictionaries(_topic_ids, st.dictionaries(_i32, _i32, max_size=4), max_size=3)
_members = st.builds(
    MemberMetadata,
    instance_id=_maybe,
    rack_id=_maybe,
    client_id=_text,
    client_host=_text,
    subscribed_names=st.frozensets(_text),
    subscribed_regex=_maybe,
    rebalance_timeout_ms=st.integers(-1, 2**31 - 1),
    assignor=_maybe,
    classic=st.none()
    | st.builds(ClassicProtocols, _i32, st.lists(st.tuples(_text, st.binary(max_size=20)), max_size=3).map(tuple)),
)
_current = st.builds(
    CurrentAssignment,
    member_epoch=st.integers(-2, 2**31 - 1),
    previous_epoch=st.integers(-2, 2**31 - 1),
    state=st.sampled_from(MemberState),
    assigned=_owned,
    pending_revocation=_owned,
)
_records: st.SearchStrategy[ConsumerGroupRecord] = st.one_of(
    st.builds(GroupEpochRecord, _text, st.none() | st.builds(GroupEpoch, _i32, _i64)),
    st.builds(MemberRecord, _text, _text, st.none() | _members),
    st.builds(TargetEpochRecord, _text, st.none() | st.builds(TargetEpoch, _i32, _i64)),
    st.builds(
        TargetRecord, _text, _text, st.none() | st.dictionaries(_topic_ids, st.frozensets(_i32, max_size=4), max_size=3)
    ),
    st.builds(CurrentRecord, _text, _text, st.none() | _current),
    st.builds(RegexRecord, _text, _text, st.none() | st.builds(ResolvedRegex, st.frozensets(_text), _i64, _i64)),
)


@pytest.fixture
def world() -> ConsumerWorld:
    return ConsumerWorld()


@given(_records)
def test_records_are_read_back_as_they_were_written(record: ConsumerGroupRecord) -> None:
    """All kinds, all fields."""
    assert decode(encode(record)) == record


@given(_records, st.data())
def test_torn_records_are_unreadable_and_nothing_worse(record: ConsumerGroupRecord, data: st.DataObject) -> None:
    """No other exception, whatever is cut off."""
    key, value = encode(record)
    cut = data.draw(st.integers(0, len(value or b"")))
    with suppress(UnreadableRecord):
        decode(LogRecord(key, None if value is None else value[:cut]))


def test_a_group_epoch_is_written_as_kafka_writes_it() -> None:
    """Kind 3, group; version 0, epoch, one tagged field: the hash."""
    key, value = encode(GroupEpochRecord("g", GroupEpoch(5, 258)))
    assert key == bytes.fromhex("0003 0001 67")
    assert value == bytes.fromhex("0000 00000005 01 00 08 0000000000000102")


def test_members_go_on_as_if_nothing_had_happened(world: ConsumerWorld) -> None:
    """Epochs, assignments and sessions; no new epoch, no rebalance."""
    first, second = Consumer(world, "1"), Consumer(world, "2", instance_id="i")
    settle(first, second)
    world.advance(SESSION_MS - 1_000)
    epochs, had = world.epochs(), (first.has(), second.has())
    world.restart()
    world.advance(SESSION_MS - 1)
    for consumer in (first, second):
        assert consumer.beat().error is ErrorCode.NONE
    assert (world.epochs(), (first.has(), second.has())) == (epochs, had)


@pytest.mark.parametrize("step", range(6))
def test_a_handover_goes_on_after_a_restart_at_any_step(world: ConsumerWorld, step: int) -> None:
    """Who owns what is known again, so nobody is given what another still has."""
    first, second = Consumer(world, "1"), Consumer(world, "2")
    first.join()
    steps = [second.join, first.beat, second.beat, first.beat, second.beat, first.beat]
    for number, take in enumerate(steps):
        take()
        if number == step:
            world.restart()
        assert not set(first.has()) & set(second.has()) or first.epoch < second.epoch
    settle(first, second)
    assert sorted(first.has() + second.has()) == [0, 1, 2, 3]


def test_a_member_that_stays_away_over_a_restart_is_fenced(world: ConsumerWorld) -> None:
    """Its session begins with the restart; so does the time to revoke."""
    first, second = Consumer(world, "1", rebalance_timeout_ms=10_000), Consumer(world, "2")
    first.join()
    second.join()
    first.send(owned=first.owned)
    world.restart()
    world.advance(10_000)
    settle(second)
    assert second.has() == [0, 1, 2, 3]


def test_expressions_are_resolved_again(world: ConsumerWorld) -> None:
    """A topic that was created meanwhile is found with the first heartbeat."""
    consumer = Consumer(world, topics=None, regex="t.*")
    consumer.join()
    t2 = world.topics.put("t2", 1)
    world.restart()
    consumer.beat()
    assert consumer.has(t2) == [0]


def test_the_log_is_rewritten_with_consumer_groups_in_it(world: ConsumerWorld) -> None:
    """Many epochs leave few records, and the same group."""
    first, second = Consumer(world, "1"), Consumer(world, "2")
    first.join()
    for _ in range(1500):
        second.join()
        second.leave()
    assert len(world.log.records) < 12_000
    settle(first, second)
    before = world.coordinator.describe_consumer("g")
    world.restart()
    assert world.coordinator.describe_consumer("g") == before
