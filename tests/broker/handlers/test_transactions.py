"""The transaction APIs on the wire: versions, implicit partitions, errors, offsets, administration."""

from pathlib import Path

import pytest

from broker.clock import ManualClock
from broker.errors import ErrorCode
from broker.groups import JoinRequest, JoinResult
from broker.handlers.pending import Pending
from broker.identifiers import TopicPartition
from broker.records import Marker, MarkerKind, build_marker
from broker.storage import AppendOrigin
from broker.topics import Topic
from broker.transactions import Producer, Transaction, state
from broker.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from broker.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from broker.wire.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from broker.wire.messages.group_offsets import OffsetFetchRequest, OffsetFetchRequestTopic, OffsetFetchResponse
from broker.wire.messages.offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from broker.wire.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from broker.wire.messages.transaction_admin import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    DescribeProducersTopicRequest,
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    ListTransactionsRequest,
    ListTransactionsResponse,
)
from broker.wire.messages.transactions import (
    AddOffsetsToTxnRequest,
    AddOffsetsToTxnResponse,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
    EndTxnRequest,
    EndTxnResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
)
from tests.broker.handlers.conftest import HeldBackground, InProcessBroker, batch
from tests.broker.transactions.reader import TransactionalProducer, committed_values, fetch

BOTH_VERSIONS = pytest.mark.parametrize("v2", [False, True], ids=["v1", "v2"])


@pytest.fixture
def orders(in_process: InProcessBroker) -> Topic:
    return in_process.state.catalog.create("orders", 2, {})


def producer(broker: InProcessBroker, name: str = "tx", *, v2: bool = False) -> TransactionalProducer:
    made = TransactionalProducer(broker, name, v2=v2)
    assert made.init() is ErrorCode.NONE
    return made


def commit_offset(
    client: TransactionalProducer,
    offset: int = 7,
    *,
    version: int = 3,
    member: str = "",
    generation: int = -1,
    topic: str = "orders",
) -> ErrorCode:
    """TxnOffsetCommit of group "g"."""
    answer = client.broker.call(
        TxnOffsetCommitRequest(
            transactional_id=client.transactional_id,
            group_id="g",
            producer_id=client.producer_id,
            producer_epoch=client.producer_epoch,
            generation_id=generation,
            member_id=member,
            topics=[
                TxnOffsetCommitRequestTopic(
                    name=topic,
                    partitions=[TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=offset)],
                )
            ],
        ),
        TxnOffsetCommitResponse,
        version,
    )
    return ErrorCode(answer.topics[0].partitions[0].error_code)


def add_offsets(client: TransactionalProducer, group: str = "g", version: int = 4) -> ErrorCode:
    request = AddOffsetsToTxnRequest(
        transactional_id=client.transactional_id,
        producer_id=client.producer_id,
        producer_epoch=client.producer_epoch,
        group_id=group,
    )
    return ErrorCode(client.broker.call(request, AddOffsetsToTxnResponse, version).error_code)


def fetch_offset(broker: InProcessBroker, *, stable: bool = False) -> tuple[int, ErrorCode]:
    request = OffsetFetchRequest(
        group_id="g", topics=[OffsetFetchRequestTopic(name="orders", partition_indexes=[0])], require_stable=stable
    )
    found = broker.call(request, OffsetFetchResponse, 7).topics[0].partitions[0]
    return found.committed_offset, ErrorCode(found.error_code)


def latest(broker: InProcessBroker, *, committed: bool) -> int:
    request = ListOffsetsRequest(
        isolation_level=int(committed),
        topics=[
            ListOffsetsTopic(
                name="orders",
                partitions=[ListOffsetsPartition(partition_index=0, timestamp=-1, current_leader_epoch=-1)],
            )
        ],
    )
    return broker.call(request, ListOffsetsResponse, 7).topics[0].partitions[0].offset


def test_transactions_v2_are_a_finalized_feature(in_process: InProcessBroker) -> None:
    """In ApiVersions from v3 on; a supported range that begins at 0 is told from v4 on only."""
    request = ApiVersionsRequest(client_software_name="test", client_software_version="1")
    for version in (3, 4):
        answer = in_process.call(request, ApiVersionsResponse, version)
        finalized = {each.name: each.max_version_level for each in answer.finalized_features}
        supported = {each.name: (each.min_version, each.max_version) for each in answer.supported_features}
        assert finalized["transaction.version"] == 2
        assert supported.get("transaction.version") == ((0, 2) if version == 4 else None)
        assert answer.finalized_features_epoch >= 0


def test_this_broker_coordinates_every_transactional_id(in_process: InProcessBroker) -> None:
    """Key type 1 of FindCoordinator."""
    request = FindCoordinatorRequest(key="tx", key_type=1)
    assert in_process.call(request, FindCoordinatorResponse, 3).node_id == 1


@BOTH_VERSIONS
def test_a_batch_after_the_end_opens_nothing(in_process: InProcessBroker, orders: Topic, v2: bool) -> None:
    """A late batch of an ended transaction is refused: by its epoch with v2, by verification with v1."""
    client = producer(in_process, v2=v2)
    assert client.produce("orders", 0, b"a") is ErrorCode.NONE
    late_epoch = client.producer_epoch
    client.end(committed=True)
    client.producer_epoch = late_epoch
    client.sequences["orders", 0] = 1
    error = client.produce("orders", 0, b"late", announce=False)
    assert error is (ErrorCode.INVALID_PRODUCER_EPOCH if v2 else ErrorCode.TRANSACTION_ABORTABLE)
    assert orders.partitions[0].log.last_stable_offset == orders.partitions[0].log.next_offset


def test_a_partition_has_to_be_announced_with_v1(in_process: InProcessBroker, orders: Topic) -> None:
    """Not so from Produce v12 on."""
    client = producer(in_process)
    client.add("orders", 1)
    assert client.produce("orders", 0, b"a", announce=False) is ErrorCode.TRANSACTION_ABORTABLE
    assert client.produce("orders", 1, b"a", announce=False) is ErrorCode.NONE
    assert orders.partitions[0].log.next_offset == 0


@BOTH_VERSIONS
def test_readers_of_committed_records_stop_at_the_last_stable_offset(
    in_process: InProcessBroker, orders: Topic, v2: bool
) -> None:
    """ListOffsets says the same; who reads uncommitted goes on."""
    client = producer(in_process, v2=v2)
    client.produce("orders", 0, b"a", b"b")
    assert committed_values(in_process, "orders", 0) == []
    assert (latest(in_process, committed=True), latest(in_process, committed=False)) == (0, 2)
    client.end(committed=False)
    client.produce("orders", 0, b"c")
    client.end(committed=True)
    data = fetch(in_process, "orders", 0)
    assert [(each.producer_id, each.first_offset) for each in data.aborted_transactions or ()] == [
        (client.producer_id, 0)
    ]
    assert data.last_stable_offset == latest(in_process, committed=True) == 5
    assert committed_values(in_process, "orders", 0) == [b"c"]
    assert fetch(in_process, "orders", 0, committed=False).aborted_transactions is None


def test_a_parked_reader_of_committed_records_is_woken_by_the_commit(
    in_process: InProcessBroker, orders: Topic
) -> None:
    """And not by the records of the open transaction."""
    client = producer(in_process)
    request = FetchRequest(
        max_wait_ms=10_000,
        min_bytes=1,
        isolation_level=1,
        topics=[FetchTopic(topic="orders", partitions=[FetchPartition(partition=0, partition_max_bytes=1000)])],
    )
    parked = in_process.ask(request, 12)
    assert isinstance(parked, Pending)
    client.produce("orders", 0, b"a")
    assert not parked.completed
    client.end(committed=True)
    assert parked.completed


def test_a_transactional_batch_names_its_transactional_id(in_process: InProcessBroker, orders: Topic) -> None:
    """In the request around it; without one nobody can say whose transaction it is in."""
    request = ProduceRequest(
        acks=-1,
        topic_data=[
            TopicProduceData(
                name="orders",
                partition_data=[
                    PartitionProduceData(
                        index=0,
                        records=batch(b"a", producer_id=5, producer_epoch=0, base_sequence=0, transactional=True),
                    )
                ],
            )
        ],
    )
    answer = in_process.call(request, ProduceResponse, 9).responses[0].partition_responses[0]
    assert answer.error_code == ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED


def test_unknown_partitions_are_added_none_at_all(in_process: InProcessBroker, orders: Topic) -> None:
    """UNKNOWN_TOPIC_OR_PARTITION for them, OPERATION_NOT_ATTEMPTED for the others."""
    client = producer(in_process)
    request = AddPartitionsToTxnRequest(
        v3_and_below_transactional_id="tx",
        v3_and_below_producer_id=client.producer_id,
        v3_and_below_producer_epoch=client.producer_epoch,
        v3_and_below_topics=[AddPartitionsToTxnTopic(name="orders", partitions=[0, 9])],
    )
    answer = in_process.call(request, AddPartitionsToTxnResponse, 3)
    assert [each.partition_error_code for each in answer.results_by_topic_v3_and_below[0].results_by_partition] == [
        ErrorCode.OPERATION_NOT_ATTEMPTED,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ]
    found = in_process.state.transactions.describe("tx")
    assert found is not None
    assert found.state.value == "Empty"


@pytest.mark.parametrize("version", [4, 5])
def test_brokers_may_verify_several_transactions_at_once(
    in_process: InProcessBroker, orders: Topic, version: int
) -> None:
    """AddPartitionsToTxn v4 and v5: verification changes nothing, addition does."""
    one, two = producer(in_process, "one"), producer(in_process, "two")
    one.add("orders", 0)
    request = AddPartitionsToTxnRequest(
        transactions=[
            AddPartitionsToTxnTransaction(
                transactional_id=client.transactional_id,
                producer_id=client.producer_id,
                producer_epoch=client.producer_epoch,
                verify_only=client is one,
                topics=[AddPartitionsToTxnTopic(name="orders", partitions=[0, 1])],
            )
            for client in (one, two)
        ]
    )
    answer = in_process.call(request, AddPartitionsToTxnResponse, version)
    codes = {
        result.transactional_id: [each.partition_error_code for each in result.topic_results[0].results_by_partition]
        for result in answer.results_by_transaction
    }
    assert codes == {
        "one": [ErrorCode.NONE, ErrorCode.TRANSACTION_ABORTABLE],
        "two": [ErrorCode.NONE, ErrorCode.NONE],
    }


@pytest.mark.parametrize(("version", "error"), [(3, ErrorCode.INVALID_PRODUCER_EPOCH), (4, ErrorCode.PRODUCER_FENCED)])
def test_older_clients_are_told_of_fencing_in_their_words(
    in_process: InProcessBroker, version: int, error: ErrorCode
) -> None:
    """PRODUCER_FENCED is known from InitProducerId v4 on."""
    first = producer(in_process)
    producer(in_process)
    request = InitProducerIdRequest(
        transactional_id="tx",
        transaction_timeout_ms=1000,
        producer_id=first.producer_id,
        producer_epoch=first.producer_epoch,
    )
    assert in_process.call(request, InitProducerIdResponse, version).error_code == error
    assert add_offsets(first, version=1) is ErrorCode.INVALID_PRODUCER_EPOCH
    assert add_offsets(first, version=2) is ErrorCode.PRODUCER_FENCED


@BOTH_VERSIONS
@pytest.mark.parametrize("committed", [True, False])
def test_offsets_become_the_groups_when_the_transaction_is_committed(
    in_process: InProcessBroker, orders: Topic, v2: bool, committed: bool
) -> None:
    """Until then they are unstable, for who asks."""
    client = producer(in_process, v2=v2)
    if not v2:
        assert commit_offset(client) is ErrorCode.INVALID_TXN_STATE
        assert add_offsets(client) is ErrorCode.NONE
    assert commit_offset(client, version=5 if v2 else 3) is ErrorCode.NONE
    assert fetch_offset(in_process) == (-1, ErrorCode.NONE)
    assert fetch_offset(in_process, stable=True) == (-1, ErrorCode.UNSTABLE_OFFSET_COMMIT)
    client.end(committed=committed)
    assert fetch_offset(in_process, stable=True) == (7 if committed else -1, ErrorCode.NONE)


def test_a_member_of_an_old_generation_cannot_commit_in_a_transaction(
    in_process: InProcessBroker, orders: Topic
) -> None:
    """KIP-447: its partitions are another's by now. Who names no member is heard, as before KIP-447."""
    client = producer(in_process, v2=True)
    assert commit_offset(client, version=5, generation=3) is ErrorCode.ILLEGAL_GENERATION
    joins: list[JoinResult] = []
    request = JoinRequest(
        group_id="g",
        session_timeout_ms=10_000,
        protocol_type="consumer",
        protocols=[("range", b"")],
        requires_known_member_id=False,
    )
    in_process.state.groups.join(request, owner="member", on_complete=joins.append)
    member = joins[0]
    old = member.generation - 1
    assert commit_offset(client, version=5, member=member.member_id, generation=old) is ErrorCode.ILLEGAL_GENERATION
    assert commit_offset(client, version=5, member="stranger", generation=1) is ErrorCode.UNKNOWN_MEMBER_ID
    assert commit_offset(client, version=5, member=member.member_id, generation=member.generation) is ErrorCode.NONE
    assert commit_offset(client, version=5) is ErrorCode.NONE


def test_offsets_of_unknown_partitions_are_refused(in_process: InProcessBroker, orders: Topic) -> None:
    """UNKNOWN_TOPIC_OR_PARTITION."""
    client = producer(in_process, v2=True)
    assert commit_offset(client, version=5, topic="nothing") is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert add_offsets(client, group="") is ErrorCode.INVALID_GROUP_ID


def test_a_commit_on_a_synced_topic_is_answered_when_the_disk_has_it(in_process: InProcessBroker) -> None:
    """First the decision, then the markers, then the end; readers wait for the markers, the producer for all."""
    held = HeldBackground()
    in_process.state.catalog.create("synced", 1, {"flush.before.ack": "true"})
    client = producer(in_process)
    client.produce("synced", 0, b"a")
    partition = in_process.state.catalog.find("synced")
    assert partition is not None
    log = partition.partitions[0].log
    in_process.state.flushes._background = held
    request = EndTxnRequest(
        transactional_id="tx", producer_id=client.producer_id, producer_epoch=client.producer_epoch, committed=True
    )
    answers: list[object] = []
    pending = in_process.ask(request, 3)
    assert isinstance(pending, Pending)
    pending.then(answers.append)
    assert log.next_offset == 1, "no marker before the decision is on the disk"
    stable: list[int] = []
    while not answers:
        stable.append(log.last_stable_offset)
        assert held.held
        held.release()
    assert stable == sorted(stable)
    assert stable.count(0) == 4
    state_log = in_process.state.catalog.find("__transaction_state")
    assert state_log is not None
    assert state_log.partitions[0].log.recovery_point == state_log.partitions[0].log.next_offset
    assert isinstance(answers[0], EndTxnResponse)
    assert answers[0].error_code == ErrorCode.NONE
    assert log.last_stable_offset == 2


def test_producers_and_their_open_transactions_are_described(in_process: InProcessBroker, orders: Topic) -> None:
    """DescribeProducers: where a hanging transaction begins, and whose it is."""
    client = producer(in_process)
    client.produce("orders", 0, b"a", b"b")
    request = DescribeProducersRequest(
        topics=[DescribeProducersTopicRequest(name="orders", partition_indexes=[0, 1, 9])]
    )
    open_one, nobody, unknown = in_process.call(request, DescribeProducersResponse).topics[0].partitions
    state = open_one.active_producers[0]
    assert (state.producer_id, state.producer_epoch, state.last_sequence, state.current_txn_start_offset) == (
        client.producer_id,
        0,
        1,
        0,
    )
    assert (nobody.active_producers, unknown.error_code) == ([], ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    client.end(committed=True)
    state = in_process.call(request, DescribeProducersResponse).topics[0].partitions[0].active_producers[0]
    assert (state.current_txn_start_offset, state.coordinator_epoch) == (-1, 0)


def test_transactions_are_described_and_listed(in_process: InProcessBroker, orders: Topic) -> None:
    """With state, producer, start and partitions; filters by state and by pattern."""
    client = producer(in_process, "busy")
    producer(in_process, "idle")
    client.produce("orders", 1, b"a")
    described = in_process.call(
        DescribeTransactionsRequest(transactional_ids=["busy", "idle", "gone", ""]), DescribeTransactionsResponse
    ).transaction_states
    assert [each.error_code for each in described] == [0, 0, ErrorCode.TRANSACTIONAL_ID_NOT_FOUND, 42]
    assert [each.transaction_state for each in described[:2]] == ["Ongoing", "Empty"]
    assert [(each.topic, list(each.partitions)) for each in described[0].topics] == [("orders", [1])]
    assert described[0].transaction_start_time_ms == in_process.clock.now_ms()
    assert described[1].transaction_start_time_ms == -1

    def listed(**filters: object) -> ListTransactionsResponse:
        return in_process.call(ListTransactionsRequest(**filters), ListTransactionsResponse)

    def names(answer: ListTransactionsResponse) -> list[str]:
        return sorted(each.transactional_id for each in answer.transaction_states)

    assert names(listed()) == ["busy", "idle"]
    assert names(listed(state_filters=["Ongoing"])) == ["busy"]
    assert names(listed(transactional_id_pattern="i.*")) == ["idle"]
    unknown = listed(state_filters=["Odd"])
    assert (names(unknown), unknown.unknown_state_filters) == ([], ["Odd"])
    both = listed(state_filters=["Odd", "Empty"])
    assert (names(both), both.unknown_state_filters) == (["idle"], ["Odd"])
    assert listed(transactional_id_pattern="(").error_code == ErrorCode.INVALID_REGULAR_EXPRESSION


def test_a_deleted_topic_does_not_hold_up_the_commit(in_process: InProcessBroker, orders: Topic) -> None:
    """Its partitions need no marker any more."""
    client = producer(in_process)
    client.produce("orders", 0, b"a")
    in_process.state.catalog.delete(orders)
    assert client.end(committed=True) is ErrorCode.NONE


def test_the_offsets_partition_takes_part_like_any_other(in_process: InProcessBroker, orders: Topic) -> None:
    """Its records and markers are in the log, so that a restart, and Kafka's tools, see the same."""
    client = producer(in_process, v2=True)
    commit_offset(client, version=5)
    place = TopicPartition("__consumer_offsets", 0)
    found = in_process.state.transactions.describe("tx")
    assert found is not None
    assert found.partitions == {place}
    topic = in_process.state.catalog.find(place.topic)
    assert topic is not None
    assert topic.partitions[0].log.last_stable_offset == 0
    client.end(committed=True)
    assert topic.partitions[0].log.last_stable_offset == 2


@pytest.mark.parametrize("markers_written", [0, 1, 2])
@pytest.mark.parametrize("committed", [True, False])
def test_a_prepared_end_is_carried_out_after_a_kill(tmp_path: Path, markers_written: int, committed: bool) -> None:
    """Whatever part of its markers was written before: readers see all of the transaction, or nothing."""
    broker = InProcessBroker(tmp_path / "data")
    orders = broker.state.catalog.create("orders", 2, {})
    client = producer(broker, v2=True)
    for partition in (0, 1):
        client.produce("orders", partition, b"a")
    commit_offset(client, version=5)
    known = broker.state.transactions.describe("tx")
    assert known is not None
    prepared = state.end(
        known,
        Producer(client.producer_id, client.producer_epoch),
        committed=committed,
        client_version=2,
        new_producer_id=lambda: 0,
        now_ms=broker.clock.now_ms(),
    )
    assert isinstance(prepared, Transaction)
    broker.state.transactions._journal.write(prepared)
    kind = MarkerKind.COMMIT if committed else MarkerKind.ABORT
    for partition in orders.partitions[:markers_written]:
        marker = build_marker(
            Marker(kind, 0),
            timestamp=broker.clock.now_ms(),
            producer_id=client.producer_id,
            producer_epoch=client.producer_epoch + 1,
        )
        partition.append(memoryview(marker), AppendOrigin.COORDINATOR)
    broker.close(clean=False)

    broker = client.broker = InProcessBroker(tmp_path / "data", clock=ManualClock(broker.clock.now_ms()))
    for partition in (0, 1):
        assert committed_values(broker, "orders", partition) == ([b"a"] if committed else [])
        assert fetch(broker, "orders", partition, committed=False).last_stable_offset >= 2
    assert fetch_offset(broker, stable=True) == (7 if committed else -1, ErrorCode.NONE)
    assert client.end(committed=committed) is ErrorCode.NONE
    assert client.produce("orders", 0, b"b") is ErrorCode.NONE
    broker.close()


def test_staged_offsets_are_on_the_disk_before_they_are_acknowledged(tmp_path: Path) -> None:
    """With log.flush.before.ack; else a loss of power could commit the output without the offset."""
    broker = InProcessBroker(tmp_path / "data", settings={"log.flush.before.ack": "true"})
    broker.state.catalog.create("orders", 1, {})
    client = producer(broker, v2=True)
    assert commit_offset(client, version=5) is ErrorCode.NONE
    topic = broker.state.catalog.find("__consumer_offsets")
    assert topic is not None
    assert topic.partitions[0].log.recovery_point == topic.partitions[0].log.next_offset == 1
    assert client.end(committed=True) is ErrorCode.NONE
    assert topic.partitions[0].log.recovery_point == 2
    assert fetch_offset(broker, stable=True) == (7, ErrorCode.NONE)
    broker.close()
