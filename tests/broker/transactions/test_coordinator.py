"""The life of a transactional id, rule by rule, under a manual clock."""

import pytest

from broker.errors import ErrorCode
from broker.records import MarkerKind
from broker.transactions import ListFilter, Producer, ProducerResult, TransactionState
from tests.broker.transactions.harness import P0, P1, TIMEOUT_MS, World

COMMIT, ABORT = MarkerKind.COMMIT, MarkerKind.ABORT
BOTH_VERSIONS = pytest.mark.parametrize("v2", [False, True], ids=["v1", "v2"])


@pytest.fixture
def world() -> World:
    return World()


# ---- initialising


def test_the_first_incarnation_has_epoch_zero_and_each_later_one_more(world: World) -> None:
    """The producer id stays."""
    results = [world.init() for _ in range(3)]
    assert [result.producer_epoch for result in results] == [0, 1, 2]
    assert len({result.producer_id for result in results}) == 1
    assert world.state() == "Empty"


@pytest.mark.parametrize(
    ("transactional_id", "timeout_ms", "error"),
    [
        ("", 1000, ErrorCode.INVALID_REQUEST),
        ("tx", 0, ErrorCode.INVALID_TRANSACTION_TIMEOUT),
        ("tx", 900_001, ErrorCode.INVALID_TRANSACTION_TIMEOUT),
        ("tx", 900_000, ErrorCode.NONE),
    ],
)
def test_the_timeout_is_bounded_and_the_id_has_a_name(
    world: World, transactional_id: str, timeout_ms: int, error: ErrorCode
) -> None:
    """transaction.max.timeout.ms is enforced."""
    assert world.init(transactional_id, timeout_ms=timeout_ms).error is error


@BOTH_VERSIONS
def test_a_successor_fences_and_aborts(world: World, v2: bool) -> None:
    """The zombie's open transaction is aborted with an epoch above its own, and nothing it sends is heard any more."""
    zombie = world.producer(v2=v2)
    zombie.add(P0)
    successor = world.producer(v2=v2)
    assert successor.me.producer_epoch > zombie.me.producer_epoch
    assert world.partitions.kinds(P0) == [ABORT]
    assert world.partitions.markers[P0][0][0].producer_epoch > zombie.me.producer_epoch
    assert zombie.add(P0) is ErrorCode.PRODUCER_FENCED
    assert zombie.commit() is ErrorCode.PRODUCER_FENCED
    assert zombie.abort() is ErrorCode.PRODUCER_FENCED
    assert world.coordinator.verify("tx", zombie.me, P0) is ErrorCode.PRODUCER_FENCED
    assert world.init(given=zombie.me).error is ErrorCode.PRODUCER_FENCED
    assert successor.add(P0) is ErrorCode.NONE
    assert successor.commit() is ErrorCode.NONE


@pytest.mark.parametrize("committed", [True, False])
def test_a_fenced_v2_producer_does_not_pass_for_its_v1_successor(world: World, committed: bool) -> None:
    """Its late end is not a repetition of the successor's, whose epoch is one above its own."""
    zombie, successor = world.producer(v2=True), world.producer(v2=False)
    successor.add(P0)
    successor.end(committed=committed)
    assert zombie.end(committed=committed) is ErrorCode.PRODUCER_FENCED


def test_an_incarnation_may_go_on_with_the_next_epoch(world: World) -> None:
    """KIP-360: it names itself, and a repeated request gets the same answer."""
    producer = world.producer()
    first = world.init(given=producer.me)
    assert first.producer_epoch == producer.me.producer_epoch + 1
    assert world.init(given=producer.me) == first
    assert world.init(given=Producer(producer.me.producer_id + 7, 0)).error is ErrorCode.PRODUCER_FENCED


@BOTH_VERSIONS
def test_used_up_epochs_bring_a_new_producer_id(world: World, v2: bool) -> None:
    """The highest epoch is never given to a producer: it is there to fence."""
    producer = world.producer(v2=v2)
    first_id = producer.me.producer_id
    for _ in range(32_766):
        world.init()
    producer.me = Producer(first_id, 32_766)
    assert producer.add(P0) is ErrorCode.NONE
    assert producer.commit() is ErrorCode.NONE
    if v2:
        assert world.partitions.markers[P0] == [(Producer(first_id, 32_767), COMMIT)]
        assert (producer.me.producer_epoch, producer.me.producer_id != first_id) == (0, True)
        # The answer may have been lost.
        assert producer.end(committed=True, me=Producer(first_id, 32_766)) is ErrorCode.NONE
        assert producer.me.producer_id != first_id
    else:
        successor = world.init()
        assert (successor.producer_epoch, successor.producer_id != first_id) == (0, True)


def test_a_fenced_producer_at_the_highest_epoch_can_do_nothing(world: World) -> None:
    """Not even with the epoch that fenced it."""
    producer = world.producer(v2=True)
    for _ in range(32_766):
        world.init()
    producer.me = Producer(producer.me.producer_id, 32_766)
    producer.add(P0)
    world.advance(TIMEOUT_MS)
    assert producer.abort() is ErrorCode.PRODUCER_FENCED
    producer.me = Producer(producer.me.producer_id, 32_767)
    assert producer.add(P0) is ErrorCode.PRODUCER_FENCED
    assert world.init().producer_epoch == 0


# ---- committing and aborting


@BOTH_VERSIONS
@pytest.mark.parametrize("committed", [True, False])
def test_every_partition_gets_one_marker(world: World, v2: bool, committed: bool) -> None:
    """And the id is at rest when the producer is answered."""
    producer = world.producer(v2=v2)
    assert producer.add(P0) is ErrorCode.NONE
    assert producer.add(P0, P1) is ErrorCode.NONE
    assert world.state() == "Ongoing"
    epoch = producer.me.producer_epoch
    assert producer.end(committed=committed) is ErrorCode.NONE
    for partition in (P0, P1):
        assert world.partitions.markers[partition] == [
            (Producer(producer.me.producer_id, epoch + v2), COMMIT if committed else ABORT)
        ]
    assert producer.me.producer_epoch == epoch + v2
    assert world.state() == ("CompleteCommit" if committed else "CompleteAbort")


@BOTH_VERSIONS
@pytest.mark.parametrize("committed", [True, False])
def test_a_repeated_end_is_answered_alike_and_does_nothing(world: World, v2: bool, committed: bool) -> None:
    """The answer may have been lost; the contrary end is INVALID_TXN_STATE."""
    producer = world.producer(v2=v2)
    producer.add(P0)
    before = producer.me
    producer.end(committed=committed)
    answered = producer.me
    assert producer.end(committed=committed, me=before) is ErrorCode.NONE
    assert producer.me == answered
    assert producer.end(committed=not committed, me=before) is ErrorCode.INVALID_TXN_STATE
    assert len(world.partitions.markers[P0]) == 1


def test_a_late_end_never_hits_the_next_transaction(world: World) -> None:
    """With v2 a repeated commit or abort is known for what it is, also when the next transaction is open."""
    producer = world.producer(v2=True)
    producer.add(P0)
    before = producer.me
    producer.commit()
    assert producer.add(P1) is ErrorCode.NONE
    for committed in (True, False):
        producer.send_end(committed=committed, me=before)
        assert producer.answers[-1].error is ErrorCode.PRODUCER_FENCED
    assert world.state() == "Ongoing"
    assert world.partitions.kinds(P1) == []


def test_nothing_to_commit_is_an_error_and_nothing_to_abort_only_with_v1(world: World) -> None:
    """A v2 client aborts before it knows whether any partition has heard of its transaction."""
    one, two = world.producer("one"), world.producer("two", v2=True)
    assert one.commit() is one.abort() is two.commit() is ErrorCode.INVALID_TXN_STATE
    epoch = two.me.producer_epoch
    assert two.abort() is ErrorCode.NONE
    assert two.me.producer_epoch == epoch + 1
    assert two.add(P0) is ErrorCode.NONE


@pytest.mark.parametrize("known", [True, False])
def test_another_producer_id_is_told_so(world: World, known: bool) -> None:
    """INVALID_PRODUCER_ID_MAPPING, for an unknown transactional id as well."""
    producer = world.producer("tx" if known else "other")
    producer.transactional_id = "tx"
    producer.me = Producer(producer.me.producer_id + 1, 0)
    assert producer.add(P0) is ErrorCode.INVALID_PRODUCER_ID_MAPPING
    assert producer.commit() is ErrorCode.INVALID_PRODUCER_ID_MAPPING
    assert world.coordinator.verify("tx", producer.me, P0) is ErrorCode.INVALID_PRODUCER_ID_MAPPING


def test_verification_knows_what_is_in_the_transaction(world: World) -> None:
    """A batch for a partition that was not announced, or that comes after the end, must not be written."""
    producer = world.producer()
    assert world.coordinator.verify("tx", producer.me, P0) is ErrorCode.TRANSACTION_ABORTABLE
    producer.add(P0)
    assert world.coordinator.verify("tx", producer.me, P0) is ErrorCode.NONE
    assert world.coordinator.verify("tx", producer.me, P1) is ErrorCode.TRANSACTION_ABORTABLE
    producer.commit()
    assert world.coordinator.verify("tx", producer.me, P0) is ErrorCode.TRANSACTION_ABORTABLE


# ---- time


@BOTH_VERSIONS
def test_a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced(world: World, v2: bool) -> None:
    """At its timeout, counted from its first partition; an id that has nothing open is left alone."""
    producer = world.producer(v2=v2)
    world.advance(TIMEOUT_MS)
    producer.add(P0)
    world.advance(TIMEOUT_MS - 1)
    producer.add(P1)
    assert world.state() == "Ongoing"
    world.advance(1)
    assert world.state() == "CompleteAbort"
    assert world.partitions.kinds(P0) == world.partitions.kinds(P1) == [ABORT]
    assert producer.commit() is ErrorCode.PRODUCER_FENCED
    assert producer.abort() is ErrorCode.PRODUCER_FENCED
    assert producer.add(P0) is ErrorCode.PRODUCER_FENCED


def test_a_commit_in_time_is_not_undone_by_the_timeout(world: World) -> None:
    """The deadline of an ended transaction means nothing, and the next one has its own."""
    producer = world.producer()
    producer.add(P0)
    producer.commit()
    world.advance(TIMEOUT_MS - 1)
    producer.add(P0)
    world.advance(TIMEOUT_MS - 1)
    assert world.state() == "Ongoing"
    assert world.partitions.kinds(P0) == [COMMIT]


def test_an_id_at_rest_is_forgotten_after_its_time_and_an_open_one_is_not() -> None:
    """transactional.id.expiration.ms; its producer then has to initialise again."""
    world = World(transactional_id_expiration_ms="7200000", transaction_max_timeout_ms="90000000")
    idle, busy = world.producer("idle"), world.producer("busy")
    world.init("busy", timeout_ms=90_000_000)
    busy.me = Producer(busy.me.producer_id, busy.me.producer_epoch + 1)
    busy.add(P0)
    world.advance(3 * 3_600_000)
    assert world.state("idle") == "none"
    assert idle.add(P0) is ErrorCode.INVALID_PRODUCER_ID_MAPPING
    assert world.state("busy") == "Ongoing"
    world.restart()
    assert world.state("idle") == "none"


# ---- what the disk refuses


def test_a_refusing_log_changes_nothing(world: World) -> None:
    """COORDINATOR_NOT_AVAILABLE: the client comes again."""
    producer = world.producer()
    producer.add(P0)
    world.log.refuses = True
    assert world.init("new").error is ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert world.init().error is ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert producer.add(P1) is ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert producer.commit() is ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert world.state() == "Ongoing"
    world.advance(TIMEOUT_MS)
    assert world.state() == "Ongoing"
    world.log.refuses = False
    world.advance(1000)
    assert world.state() == "CompleteAbort"


def test_a_marker_that_cannot_be_written_is_tried_until_it_is(world: World) -> None:
    """The decision stands and is answered; meanwhile the id is busy, and no marker is written twice."""
    producer = world.producer()
    producer.add(P0, P1)
    world.partitions.failing = {P1}
    assert producer.commit() is ErrorCode.NONE
    assert world.state() == "PrepareCommit"
    assert producer.add(P0) is ErrorCode.CONCURRENT_TRANSACTIONS
    assert producer.commit() is ErrorCode.CONCURRENT_TRANSACTIONS
    assert producer.abort() is ErrorCode.INVALID_TXN_STATE
    assert world.init().error is ErrorCode.CONCURRENT_TRANSACTIONS
    world.advance(2000)
    world.partitions.failing = set()
    world.advance(2000)
    assert world.state() == "CompleteCommit"
    assert world.partitions.kinds(P0) == world.partitions.kinds(P1) == [COMMIT]


def test_a_disk_that_goes_on_refusing_is_asked_less_and_less_often(world: World) -> None:
    """Twice a minute in the end; after a success again at once."""
    producer = world.producer()
    producer.add(P0)
    world.partitions.failing = {P0}
    producer.commit()
    tries = world.partitions.tries
    world.advance(3_600_000)
    assert 118 < world.partitions.tries - tries < 126
    world.partitions.failing = set()
    world.advance(30_000)
    assert world.state() == "CompleteCommit"
    producer.add(P0)
    world.partitions.failing = {P0}
    producer.commit()
    world.partitions.failing = set()
    world.advance(500)
    assert world.state() == "CompleteCommit"


def test_an_end_that_cannot_be_noted_is_noted_later(world: World) -> None:
    """All markers are there, and the last record is not."""
    producer = world.producer()
    producer.add(P0)
    world.log.appends_left = 1
    assert producer.commit() is ErrorCode.NONE
    assert world.state() == "PrepareCommit"
    world.log.appends_left = None
    world.advance(1000)
    assert world.state() == "CompleteCommit"
    assert world.partitions.kinds(P0) == [COMMIT]


def test_a_decision_waits_for_the_disk_where_a_partition_does(world: World) -> None:
    """With flush.before.ack no marker comes before the decision is synced, and nothing begins before the end is."""
    producer = world.producer()
    producer.add(P0, P1)
    world.partitions.durable = {P1}
    world.log.holds_durability = True
    producer.send_end(committed=True)
    assert producer.answers == []
    assert world.partitions.markers == {}
    producer.send_end(committed=True)
    assert producer.answers.pop().error is ErrorCode.CONCURRENT_TRANSACTIONS
    assert world.init().error is ErrorCode.CONCURRENT_TRANSACTIONS
    world.log.sync()
    assert world.partitions.kinds(P0) == world.partitions.kinds(P1) == [COMMIT]
    assert producer.answers == []
    assert world.coordinator.add("tx", producer.me, [P0], 0) is ErrorCode.CONCURRENT_TRANSACTIONS
    world.log.sync()
    assert producer.answers[-1].error is ErrorCode.NONE
    assert world.coordinator.add("tx", producer.me, [P0], 0) is ErrorCode.NONE


def test_an_incarnation_is_answered_when_it_is_on_the_disk(world: World) -> None:
    """Else a loss of power would have the same epoch given twice, and the zombie would not be fenced."""
    world.log.holds_durability = True
    answers: list[ProducerResult] = []
    world.coordinator.initialise("tx", 1000, None, answers.append)
    assert answers == []
    world.log.sync()
    assert [each.error for each in answers] == [ErrorCode.NONE]
    world.coordinator.initialise("tx", 1000, None, answers.append)
    world.log.sync(ErrorCode.KAFKA_STORAGE_ERROR)
    assert answers[-1].error is ErrorCode.COORDINATOR_NOT_AVAILABLE


# ---- restart


@BOTH_VERSIONS
@pytest.mark.parametrize("committed", [True, False])
def test_what_was_decided_before_a_crash_is_carried_out_after_it(world: World, v2: bool, committed: bool) -> None:
    """In every partition, with the epoch that was decided; the producer's repeated end is answered."""
    producer = world.producer(v2=v2)
    producer.add(P0, P1)
    before = producer.me
    world.log.appends_left = 1
    world.partitions.failing = {P1}
    producer.end(committed=committed)
    world.log.appends_left = None
    world.partitions.failing = set()
    world.restart()
    assert world.loaded.completed == 1
    assert world.state() == ("CompleteCommit" if committed else "CompleteAbort")
    assert world.partitions.kinds(P1) == [COMMIT if committed else ABORT]
    assert {at.producer_epoch for at, _ in world.partitions.markers[P1]} == {before.producer_epoch + v2}
    assert producer.end(committed=committed, me=before) is ErrorCode.NONE


def test_what_was_open_before_a_crash_goes_on_until_its_time(world: World) -> None:
    """The producer may still commit; the time that the broker was away counts."""
    producer, silent = world.producer(), world.producer("silent")
    producer.add(P0)
    silent.add(P1)
    world.clock.advance_ms(TIMEOUT_MS // 2)
    world.restart()
    assert world.loaded.open == 2
    assert producer.commit() is ErrorCode.NONE
    world.advance(TIMEOUT_MS // 2 - 1)
    assert world.state("silent") == "Ongoing"
    world.advance(1)
    assert world.state("silent") == "CompleteAbort"
    assert world.partitions.kinds(P1) == [ABORT]


def test_a_wall_clock_that_went_back_does_not_prolong_a_transaction(world: World) -> None:
    """It has its timeout from the restart on at most."""
    world.producer().add(P0)
    world.clock.set_wall_ms(world.clock.now_ms() - 10 * TIMEOUT_MS)
    world.restart()
    world.advance(TIMEOUT_MS)
    assert world.state() == "CompleteAbort"


def test_a_partition_is_freed_of_a_transaction_that_nobody_knows(world: World) -> None:
    """A loss of power may have taken the log's tail; what the log does know stays open."""
    producer = world.producer()
    producer.add(P0)
    world.partitions.open = {P0: producer.me, P1: Producer(5000, 3)}
    world.restart()
    assert world.loaded.freed == 1
    assert world.partitions.markers == {P1: [(Producer(5000, 3), ABORT)]}
    assert world.state() == "Ongoing"


def test_the_log_stays_short(world: World) -> None:
    """Rewritten when it has several times more records than there are ids, and the same after a restart."""
    producer = world.producer(v2=True)
    for _ in range(4_000):
        producer.add(P0)
        producer.commit()
    assert world.log.end_offset > 12_000
    assert len(world.log.records) < 11_000
    world.restart()
    assert producer.add(P0) is ErrorCode.NONE


# ---- administration


def test_transactions_are_listed_by_state_producer_duration_and_pattern(world: World) -> None:
    """Filters are joined by and; a pattern has to match the whole id."""
    for name in ("pay-1", "pay-2", "ship-1"):
        world.producer(name)
    world.producer("open-1").add(P0)
    world.advance(5000)

    def names(wanted: ListFilter) -> list[str]:
        return sorted(each.transactional_id for each in world.coordinator.list(wanted))

    assert names(ListFilter()) == ["open-1", "pay-1", "pay-2", "ship-1"]
    assert names(ListFilter(states=[TransactionState.ONGOING])) == ["open-1"]
    assert names(ListFilter(pattern="pay-.")) == ["pay-1", "pay-2"]
    assert names(ListFilter(pattern="pay")) == []
    assert names(ListFilter(duration_ms=4999)) == ["open-1"]
    assert names(ListFilter(duration_ms=5000)) == []
    pay = world.coordinator.describe("pay-1")
    assert pay is not None
    assert names(ListFilter(producer_ids=[pay.producer_id])) == ["pay-1"]
    assert names(ListFilter(pattern=".*-1", states=[TransactionState.EMPTY])) == ["pay-1", "ship-1"]
