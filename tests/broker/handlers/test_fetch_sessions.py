"""Fetch sessions (KIP-227) on a manual clock."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from broker.errors import ErrorCode
from broker.handlers.fetch_sessions import EVICTION_SECONDS
from broker.handlers.pending import Pending
from broker.storage import LogSlice
from broker.topics import Topic
from broker.wire.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic
from tests.broker.handlers.conftest import InProcessBroker, batch


class Reader:
    """A client that keeps a fetch session on topic `t`, by name unless it has the topic's id."""

    def __init__(self, broker: InProcessBroker, topic: Topic, *, by_id: bool = False) -> None:
        self.broker = broker
        self.topic = topic
        self.by_id = by_id
        self.session_id = 0
        self.session_epoch = 0

    def request(
        self, offsets: Mapping[int, int], *, forgotten: tuple[int, ...] = (), max_bytes: int = 1 << 20
    ) -> FetchRequest:
        name, topic_id = self.topic.name, self.topic.id
        asked = [
            FetchPartition(partition=index, fetch_offset=offset, partition_max_bytes=1 << 20)
            for index, offset in offsets.items()
        ]
        return FetchRequest(
            min_bytes=1,
            max_bytes=max_bytes,
            session_id=self.session_id,
            session_epoch=self.session_epoch,
            topics=[FetchTopic(topic=name, topic_id=topic_id, partitions=asked)] if asked else [],
            forgotten_topics_data=[ForgottenTopic(topic=name, topic_id=topic_id, partitions=forgotten)]
            if forgotten
            else [],
        )

    def answer(self, request: FetchRequest, *, version: int | None = None) -> FetchResponse:
        return self.broker.call(request, FetchResponse, version or (13 if self.by_id else 12))

    def fetch(
        self, offsets: Mapping[int, int] | None = None, *, forgotten: tuple[int, ...] = (), max_bytes: int = 1 << 20
    ) -> dict[int, tuple[int, int]]:
        """Partition → (error, bytes) of the answer."""
        answer = self.answer(self.request(offsets or {}, forgotten=forgotten, max_bytes=max_bytes))
        assert answer.error_code == ErrorCode.NONE
        self.session_id = answer.session_id
        self.session_epoch += 1
        return told(answer)


def told(answer: FetchResponse) -> dict[int, tuple[int, int]]:
    """Partition → (error, bytes), in the answer's order."""
    found: dict[int, tuple[int, int]] = {}
    for topic in answer.responses:
        for data in topic.partitions:
            size = 0
            if isinstance(data.records, LogSlice):
                size = data.records.size
                data.records.release()
            found[data.partition_index] = (data.error_code, size)
    return found


def append(topic: Topic, partition: int, value: bytes = b"value") -> int:
    """The size of the batch."""
    records = batch(value)
    topic.partitions[partition].append(records)
    return len(records)


@pytest.fixture
def topic(in_process: InProcessBroker) -> Topic:
    return in_process.state.catalog.create("t", 3, {})


@pytest.fixture(params=[False, True], ids=["names", "ids"])
def reader(in_process: InProcessBroker, topic: Topic, request: pytest.FixtureRequest) -> Reader:
    return Reader(in_process, topic, by_id=bool(request.param))


def test_a_full_fetch_opens_a_session_and_names_every_partition(reader: Reader) -> None:
    """Id 0 and epoch 0; the client goes on with the id of the answer."""
    assert reader.fetch({0: 0, 1: 0, 2: 0}) == {0: (0, 0), 1: (0, 0), 2: (0, 0)}
    assert reader.session_id > 0


def test_an_incremental_answer_names_only_the_partitions_that_have_changed(reader: Reader) -> None:
    """Records, a higher high watermark, a moved log start; nothing new is an empty answer."""
    reader.fetch({0: 0, 1: 0, 2: 0})
    assert reader.fetch() == {}
    size = append(reader.topic, 1)
    assert reader.fetch() == {1: (0, size)}
    # It asks for the same records until it says that it has them.
    assert reader.fetch() == {1: (0, size)}
    assert reader.fetch({1: 1}) == {}
    reader.topic.partitions[1].log.delete_records(1)
    assert reader.fetch() == {1: (0, 0)}
    assert reader.fetch() == {}


def test_partitions_are_added_changed_and_forgotten(reader: Reader) -> None:
    """A new partition is answered once though nothing is in it; a forgotten one no more."""
    reader.fetch({0: 0})
    assert reader.fetch({1: 0}) == {1: (0, 0)}
    size = append(reader.topic, 0)
    append(reader.topic, 1)
    assert reader.fetch(forgotten=(1,)) == {0: (0, size)}


def test_a_partition_with_an_error_is_named_until_the_error_has_gone(reader: Reader) -> None:
    """And once more then."""
    reader.fetch({0: 0})
    out_of_range = (int(ErrorCode.OFFSET_OUT_OF_RANGE), 0)
    assert reader.fetch({0: 7}) == {0: out_of_range}
    assert reader.fetch() == {0: out_of_range}
    assert reader.fetch({0: 0}) == {0: (0, 0)}
    assert reader.fetch() == {}


def test_a_topic_that_is_deleted_and_made_again_is_noticed(in_process: InProcessBroker, topic: Topic) -> None:
    """The session looks its partitions up again; by id the new topic is another one."""
    by_name, by_id = Reader(in_process, topic), Reader(in_process, topic, by_id=True)
    by_name.fetch({0: 0})
    by_id.fetch({0: 0})
    in_process.state.catalog.delete(topic)
    assert by_name.fetch() == {0: (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, 0)}
    again = in_process.state.catalog.create("t", 1, {})
    size = append(again, 0)
    assert by_name.fetch() == {0: (0, size)}
    assert by_id.fetch() == {0: (ErrorCode.UNKNOWN_TOPIC_ID, 0)}


def test_who_was_served_goes_to_the_end_of_the_order(reader: Reader) -> None:
    """So that a small max_bytes starves no partition."""
    sizes = [append(reader.topic, index) for index in range(3)]
    reader.fetch({0: 0, 1: 0, 2: 0}, max_bytes=sizes[0])
    first = list(reader.fetch(max_bytes=1))
    second = list(reader.fetch(max_bytes=1))
    third = list(reader.fetch(max_bytes=1))
    assert sorted(first + second + third) == [0, 1, 2]


def test_an_epoch_that_is_not_the_next_one_is_refused(reader: Reader) -> None:
    """INVALID_FETCH_SESSION_EPOCH, and the session goes on with the right one."""
    reader.fetch({0: 0})
    for wrong in (2, 7):
        reader.session_epoch = wrong
        assert reader.answer(reader.request({})).error_code == ErrorCode.INVALID_FETCH_SESSION_EPOCH
    reader.session_epoch = 1
    assert reader.fetch() == {}
    reader.session_epoch = 1
    assert reader.answer(reader.request({})).error_code == ErrorCode.INVALID_FETCH_SESSION_EPOCH


def test_the_epoch_wraps_to_1(in_process: InProcessBroker, reader: Reader) -> None:
    """0 and -1 have meanings of their own."""
    reader.fetch({0: 0})
    reader.session_epoch = 2**31 - 1
    sessions = in_process.state.fetch_sessions
    session = sessions.resume(FetchRequest(session_id=reader.session_id, session_epoch=1), by_id=reader.by_id)
    assert session is not None
    session.epoch = 2**31 - 2
    assert reader.fetch() == {}
    reader.session_epoch = 1
    assert reader.fetch() == {}


@pytest.mark.parametrize("session_id", [0, 7])
def test_a_session_that_is_not_there_is_refused(in_process: InProcessBroker, session_id: int) -> None:
    """FETCH_SESSION_ID_NOT_FOUND: the client begins anew."""
    request = FetchRequest(session_id=session_id, session_epoch=5)
    assert in_process.call(request, FetchResponse, version=12).error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND


def test_names_and_ids_do_not_mix_in_a_session(in_process: InProcessBroker, topic: Topic) -> None:
    """FETCH_SESSION_TOPIC_ID_ERROR, in both directions."""
    for by_id, other_version in ((False, 13), (True, 12)):
        reader = Reader(in_process, topic, by_id=by_id)
        reader.fetch({0: 0})
        refused = reader.answer(reader.request({}), version=other_version)
        assert refused.error_code == ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR


def test_epoch_minus_1_ends_the_session_and_opens_none(in_process: InProcessBroker, reader: Reader) -> None:
    """The answer is a full one with session id 0."""
    reader.fetch({0: 0})
    reader.session_epoch = -1
    answer = reader.answer(reader.request({0: 0}))
    assert answer.session_id == 0
    assert told(answer) == {0: (0, 0)}
    assert len(in_process.state.fetch_sessions) == 0


def test_epoch_0_with_an_id_puts_a_new_session_in_place_of_the_old_one(
    in_process: InProcessBroker, reader: Reader
) -> None:
    """What a client does after an error."""
    reader.fetch({0: 0})
    old = reader.session_id
    reader.session_epoch = 0
    reader.fetch({0: 0, 1: 0})
    assert reader.session_id not in (0, old)
    assert len(in_process.state.fetch_sessions) == 1


def test_a_session_without_partitions_ends(in_process: InProcessBroker, reader: Reader) -> None:
    """When the last one is forgotten."""
    reader.fetch({0: 0})
    assert reader.fetch(forgotten=(0,)) == {}
    assert reader.session_id == 0
    assert len(in_process.state.fetch_sessions) == 0


def test_an_incremental_fetch_waits_and_tells_only_what_woke_it(in_process: InProcessBroker, reader: Reader) -> None:
    """Parked under all partitions of its session."""
    reader.fetch({0: 0, 1: 0, 2: 0})
    request = reader.request({})
    request.max_wait_ms = 500
    pending = in_process.ask(request, 13 if reader.by_id else 12)
    assert isinstance(pending, Pending)
    size = append(reader.topic, 2)
    answers: list[FetchResponse] = []
    pending.then(answers.append)
    assert told(answers[0]) == {2: (0, size)}


def test_a_parked_fetch_that_its_client_overtook_is_refused(in_process: InProcessBroker, reader: Reader) -> None:
    """The later request has moved the session on; the earlier answer would not fit it any more."""
    reader.fetch({0: 0})
    request = reader.request({})
    request.max_wait_ms = 500
    overtaken = in_process.ask(request, 13 if reader.by_id else 12)
    assert isinstance(overtaken, Pending)
    reader.session_epoch += 1
    assert reader.fetch() == {}
    append(reader.topic, 0)
    answers: list[FetchResponse] = []
    overtaken.then(answers.append)
    assert answers[0].error_code == ErrorCode.INVALID_FETCH_SESSION_EPOCH


@pytest.fixture
def two_slots(tmp_path: Path) -> Iterator[InProcessBroker]:
    broker = InProcessBroker(tmp_path / "small", settings={"max.incremental.fetch.session.cache.slots": "2"})
    broker.state.catalog.create("t", 3, {})
    yield broker
    broker.close()


def readers(broker: InProcessBroker, count: int) -> list[Reader]:
    topic = broker.state.catalog.find("t")
    assert topic is not None
    return [Reader(broker, topic) for _ in range(count)]


def test_without_a_free_slot_there_is_no_session(two_slots: InProcessBroker) -> None:
    """max.incremental.fetch.session.cache.slots; the client goes on with full fetches."""
    first, second, third = readers(two_slots, 3)
    for each in (first, second, third):
        each.fetch({0: 0})
    assert first.session_id
    assert second.session_id
    assert third.session_id == 0


def test_a_session_that_was_idle_for_two_minutes_gives_its_slot_away(two_slots: InProcessBroker) -> None:
    """The one that was used meanwhile stays."""
    idle, busy, newcomer = readers(two_slots, 3)
    idle.fetch({0: 0})
    busy.fetch({0: 0})
    two_slots.clock.advance_ms(int(EVICTION_SECONDS * 1000))
    busy.fetch()
    two_slots.clock.advance_ms(1)
    newcomer.fetch({0: 0})
    assert newcomer.session_id
    assert busy.fetch() == {}
    assert idle.answer(idle.request({})).error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    assert two_slots.state.fetch_sessions.evictions == 1


def test_an_old_small_session_gives_way_to_a_larger_one(two_slots: InProcessBroker) -> None:
    """It saves less than the larger one does; one of the same size does not displace it."""
    small, large, newcomer = readers(two_slots, 3)
    small.fetch({0: 0})
    large.fetch({0: 0, 1: 0, 2: 0})
    two_slots.clock.advance_ms(int(EVICTION_SECONDS * 1000) // 2)
    small.fetch()
    large.fetch()
    two_slots.clock.advance_ms(int(EVICTION_SECONDS * 1000) // 2 + 1)
    newcomer.fetch({0: 0})
    assert newcomer.session_id == 0
    newcomer.session_epoch = 0
    newcomer.fetch({0: 0, 1: 0})
    assert newcomer.session_id
    assert large.fetch() == {}
    assert small.answer(small.request({})).error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
