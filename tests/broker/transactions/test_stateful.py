"""Producers, readers, time and crashes in any order, on real logs, against a model that knows what was committed."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.clock import ManualClock
from broker.errors import ErrorCode
from broker.storage import PartitionLog
from broker.wire.messages.group_offsets import OffsetFetchRequest, OffsetFetchRequestTopic, OffsetFetchResponse
from broker.wire.messages.transactions import (
    AddOffsetsToTxnRequest,
    AddOffsetsToTxnResponse,
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
)
from tests.broker.handlers.conftest import InProcessBroker
from tests.broker.transactions.reader import TIMEOUT_MS, TransactionalProducer, committed_values

PLACES = (("plain", 0), ("plain", 1), ("synced", 0))
IDS = ("one", "two")
SETTINGS = {"log.segment.bytes": "1048576", "log.index.interval.bytes": "64"}


class TransactionsModel(RuleBasedStateMachine):
    """
    What the model knows of an id: its present and its former incarnations, what it has written since its last end, and
    whether that is still open. `committed` is what readers must see, in order, once nothing open lies before it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.broker = InProcessBroker(self.directory / "data", settings=SETTINGS)
        self.present: dict[str, TransactionalProducer] = {}
        self.zombies: list[TransactionalProducer] = []
        self.written: dict[str, list[tuple[tuple[str, int], bytes]]] = {name: [] for name in IDS}
        self.staged: dict[str, tuple[int, int]] = {}
        self.opened_at: dict[str, int] = {}
        self.committed: dict[tuple[str, int], set[bytes]] = {place: set() for place in PLACES}
        self.order: dict[tuple[str, int], list[bytes]] = {place: [] for place in PLACES}
        self.offset = self.offset_written = -1
        self.last_stable: dict[tuple[str, int], int] = dict.fromkeys(PLACES, 0)
        self.last_end: dict[str, tuple[int, int, bool]] = {}
        self.count = 0

    @initialize()
    def create(self) -> None:
        catalog = self.broker.state.catalog
        catalog.create("plain", 2, {"segment.bytes": "1048576"})
        catalog.create("synced", 1, {"flush.before.ack": "true"})

    # ---- what producers do

    @rule(name=st.sampled_from(IDS), v2=st.booleans())
    def initialise(self, name: str, v2: bool) -> None:
        """A new incarnation: the one before is a zombie, and what it has open is aborted."""
        if name in self.present:
            self.zombies.append(self.present[name])
        producer = TransactionalProducer(self.broker, name, v2=v2)
        assert producer.init() is ErrorCode.NONE
        self.present[name] = producer
        self._forget(name)

    @rule(name=st.sampled_from(IDS), place=st.sampled_from(PLACES), count=st.integers(1, 3))
    def produce(self, name: str, place: tuple[str, int], count: int) -> None:
        producer = self.present.get(name)
        if producer is None:
            return
        values = [b"%d" % (self.count + number) for number in range(count)]
        self.count += count
        error = producer.produce(*place, *values)
        if self._is_fenced(name):
            assert error in (ErrorCode.INVALID_PRODUCER_EPOCH, ErrorCode.PRODUCER_FENCED)
            return
        assert error is ErrorCode.NONE, error
        self.opened_at.setdefault(name, self.broker.clock.now_ms())
        self.written[name].extend((place, value) for value in values)
        self.order[place].extend(values)

    @rule(name=st.sampled_from(IDS), offset=st.integers(0, 1000))
    def stage_offset(self, name: str, offset: int) -> None:
        producer = self.present.get(name)
        if producer is None or self._is_fenced(name):
            return
        if not producer.v2:
            added = self.broker.call(
                AddOffsetsToTxnRequest(
                    transactional_id=name,
                    producer_id=producer.producer_id,
                    producer_epoch=producer.producer_epoch,
                    group_id="g",
                ),
                AddOffsetsToTxnResponse,
            )
            assert not added.error_code
        answer = self.broker.call(
            TxnOffsetCommitRequest(
                transactional_id=name,
                group_id="g",
                producer_id=producer.producer_id,
                producer_epoch=producer.producer_epoch,
                topics=[
                    TxnOffsetCommitRequestTopic(
                        name="plain",
                        partitions=[TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=offset)],
                    )
                ],
            ),
            TxnOffsetCommitResponse,
            5 if producer.v2 else 3,
        )
        assert not answer.topics[0].partitions[0].error_code
        self.opened_at.setdefault(name, self.broker.clock.now_ms())
        self.count += 1
        self.staged[name] = offset, self.count

    @rule(name=st.sampled_from(IDS), committed=st.booleans())
    def end(self, name: str, committed: bool) -> None:
        producer = self.present.get(name)
        if producer is None:
            return
        epoch = producer.producer_epoch
        error = producer.end(committed=committed)
        if self._is_fenced(name):
            assert error is ErrorCode.PRODUCER_FENCED
            return
        if name not in self.opened_at:
            # Nothing is open: only what repeats the last end, or aborts nothing, is accepted.
            return
        assert error is ErrorCode.NONE
        self.last_end[name] = (producer.producer_id, epoch, committed)
        if committed:
            for place, value in self.written[name]:
                self.committed[place].add(value)
            offset, written = self.staged.get(name, (-1, -1))
            if written > self.offset_written:
                # Else another transaction has committed what it wrote later.
                self.offset, self.offset_written = offset, written
        self._forget(name)

    @rule(name=st.sampled_from(IDS))
    def end_again(self, name: str) -> None:
        """A repeated end (v2) changes nothing, whatever has begun since."""
        producer, last = self.present.get(name), self.last_end.get(name)
        if producer is None or last is None or not producer.v2 or last[0] != producer.producer_id:
            return
        going_on = producer.producer_id, producer.producer_epoch, dict(producer.sequences)
        producer.end(committed=last[2], producer_epoch=last[1])
        producer.producer_id, producer.producer_epoch, producer.sequences = going_on

    @precondition(lambda self: bool(self.zombies))
    @rule(data=st.data(), place=st.sampled_from(PLACES), committed=st.booleans())
    def zombie(self, data: st.DataObject, place: tuple[str, int], committed: bool) -> None:
        """Whatever a fenced incarnation sends is refused."""
        zombie = data.draw(st.sampled_from(self.zombies))
        assert zombie.produce(*place, b"zombie") is not ErrorCode.NONE
        assert zombie.produce(*place, b"zombie", announce=False) is not ErrorCode.NONE
        assert zombie.end(committed=committed) is not ErrorCode.NONE

    # ---- what the world does

    @rule(milliseconds=st.sampled_from([1, 1000, TIMEOUT_MS // 2, TIMEOUT_MS]))
    def wait(self, milliseconds: int) -> None:
        self.broker.clock.advance_ms(milliseconds)
        self.broker.state.transactions.expire(self.broker.clock.monotonic())
        for name, opened_at in list(self.opened_at.items()):
            if self.broker.clock.now_ms() - opened_at >= TIMEOUT_MS:
                self.zombies.append(self.present.pop(name))
                self._forget(name)

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        self.broker.close(clean=clean)
        clock = ManualClock(self.broker.clock.now_ms())
        self.broker = InProcessBroker(self.directory / "data", settings=SETTINGS, clock=clock)
        for producer in (*self.present.values(), *self.zombies):
            producer.broker = self.broker

    @rule(place=st.sampled_from(PLACES))
    def roll(self, place: tuple[str, int]) -> None:
        self._log(place).roll()

    # ---- what must hold

    @invariant()
    def readers_see_what_was_committed_and_nothing_else(self) -> None:
        if not self.broker.state.catalog.find("synced"):
            return
        for place in PLACES:
            log = self._log(place)
            stable = log.last_stable_offset
            assert log.log_start_offset <= stable <= log.high_watermark <= log.next_offset
            assert stable >= self.last_stable[place], "the last stable offset went back"
            self.last_stable[place] = stable
            seen = committed_values(self.broker, *place)
            open_values = {value for values in self.written.values() for at, value in values if at == place}
            first_open = next(
                (position for position, value in enumerate(self.order[place]) if value in open_values), None
            )
            assert seen == [value for value in self.order[place][:first_open] if value in self.committed[place]]

    @invariant()
    def the_groups_offset_is_the_last_one_committed(self) -> None:
        request = OffsetFetchRequest(
            group_id="g", topics=[OffsetFetchRequestTopic(name="plain", partition_indexes=[0])], require_stable=False
        )
        assert self.broker.call(request, OffsetFetchResponse, 7).topics[0].partitions[0].committed_offset == self.offset
        request.require_stable = True
        answer = self.broker.call(request, OffsetFetchResponse, 7).topics[0].partitions[0]
        assert answer.error_code == (ErrorCode.UNSTABLE_OFFSET_COMMIT if self.staged else ErrorCode.NONE)

    def teardown(self) -> None:
        self.broker.close()
        shutil.rmtree(self.directory)

    def _log(self, place: tuple[str, int]) -> PartitionLog:
        topic = self.broker.state.catalog.find(place[0])
        assert topic is not None
        return topic.partitions[place[1]].log

    def _forget(self, name: str) -> None:
        self.written[name] = []
        self.staged.pop(name, None)
        self.opened_at.pop(name, None)

    def _is_fenced(self, name: str) -> bool:
        return name not in self.present


TestTransactions = TransactionsModel.TestCase
TestTransactions.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
