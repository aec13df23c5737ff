"""
The whole broker, floors 1 to 6, on a manual clock and a file system that forgets what was not synced: no event loop, no
sleep. Whatever it has acknowledged on topics with flush.before.ack is there after any crash, and nothing else is.
"""

import shutil
import tempfile
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.clock import ManualClock
from broker.errors import ErrorCode
from broker.topics import Partition
from broker.wire.messages.transactions import InitProducerIdRequest, InitProducerIdResponse
from tests.broker.handlers.conftest import InProcessBroker, batch
from tests.broker.handlers.test_disk_full import commit, committed
from tests.broker.handlers.test_offline_partitions import list_offset
from tests.broker.handlers.test_produce_and_fetch import produce
from tests.broker.storage.faulty_files import FaultyFileSystem
from tests.broker.transactions.reader import TransactionalProducer, committed_values
from tests.crash.cycles import cycles

# "t" answers when the bytes are on the disk, as the coordinators' topics do; "cached" does not.
SETTINGS = {"log.flush.before.ack": "true"}
TOPICS = {"t": {}, "cached": {"flush.before.ack": "false"}}
PLACES = st.sampled_from([("t", 0), ("t", 1), ("cached", 0)])
SEEDS = st.none() | st.integers(0, 10_000)


class BrokerMachine(RuleBasedStateMachine):
    """`expected` is what a reader of committed records has to find in a partition; `offset` the group's committed."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.files = FaultyFileSystem()
        self.clock = ManualClock()
        self.count = 0
        self.offset = -1
        self.ids: set[int] = set()
        self.expected: dict[tuple[str, int], list[bytes]] = {}
        self.starts: dict[tuple[str, int], int] = {}
        self.start()
        for name in TOPICS:
            self.create(name)

    def teardown(self) -> None:
        self.broker.close(clean=False)
        shutil.rmtree(self.root)

    def start(self) -> None:
        self.broker = InProcessBroker(self.root / "data", settings=SETTINGS, files=self.files, clock=self.clock)
        self.transactional = TransactionalProducer(self.broker, "tx", v2=True)
        assert self.transactional.init() is ErrorCode.NONE
        self.new_id(self.transactional.producer_id)

    def create(self, name: str) -> None:
        self.broker.state.catalog.create(name, 2, TOPICS[name])
        for index in range(2):
            self.expected[name, index], self.starts[name, index] = [], 0

    def partition(self, place: tuple[str, int]) -> Partition:
        topic = self.broker.state.catalog.find(place[0])
        assert topic is not None
        return topic.partitions[place[1]]

    def value(self) -> bytes:
        self.count += 1
        self.clock.advance_ms(10)
        return b"%d " % self.count * 5

    def new_id(self, producer_id: int) -> None:
        self.ids.add(producer_id)

    # ---- what clients do

    @rule(place=PLACES)
    def produce(self, place: tuple[str, int]) -> None:
        value = self.value()
        assert produce(self.broker, place[0], batch(value), partition=place[1]).error_code == ErrorCode.NONE
        self.expected[place].append(value)

    @rule(place=PLACES)
    def produce_with_an_id_twice(self, place: tuple[str, int]) -> None:
        request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=0)
        producer_id = self.broker.call(request, InitProducerIdResponse).producer_id
        assert producer_id not in self.ids
        self.ids.add(producer_id)
        value = self.value()
        fields = {"producer_id": producer_id, "producer_epoch": 0, "base_sequence": 0}
        offsets = [
            produce(self.broker, place[0], batch(value, **fields), partition=place[1]).base_offset for _ in range(2)
        ]
        assert offsets[0] == offsets[1] >= 0
        self.expected[place].append(value)

    @rule(outcome=st.sampled_from([True, False, None]))
    def transact(self, outcome: bool | None) -> None:
        """Over two partitions: committed, aborted, or left open and fenced by the next incarnation."""
        first, second = self.value(), self.value()
        for index, value in enumerate((first, second)):
            assert self.transactional.produce("t", index, value) is ErrorCode.NONE
        if outcome is None:
            self.transactional = TransactionalProducer(self.broker, "tx", v2=True)
            assert self.transactional.init() is ErrorCode.NONE
            return
        assert self.transactional.end(committed=outcome) is ErrorCode.NONE
        if outcome:
            self.expected["t", 0].append(first)
            self.expected["t", 1].append(second)

    @rule()
    def leave_a_transaction_open_in_a_crash(self) -> None:
        assert self.transactional.produce("t", 0, self.value()) is ErrorCode.NONE
        self.crash(seed=None)

    @rule()
    def commit_an_offset(self) -> None:
        self.count += 1
        assert commit(self.broker, self.count) == ErrorCode.NONE
        self.offset = self.count

    @rule(index=st.integers(0, 1))
    def delete_all_records(self, index: int) -> None:
        log = self.partition(("t", index)).log
        assert log.delete_records(-1) == log.next_offset
        self.broker.state.catalog.write_checkpoints()
        self.expected["t", index], self.starts["t", index] = [], log.next_offset

    @rule(name=st.sampled_from(sorted(TOPICS)))
    def delete_and_create(self, name: str) -> None:
        topic = self.broker.state.catalog.find(name)
        assert topic is not None
        self.broker.state.catalog.delete(topic)
        self.create(name)

    # ---- what the broker does

    @rule(place=PLACES)
    def roll_and_retain(self, place: tuple[str, int]) -> None:
        log = self.partition(place).log
        log.roll()
        for deleted in log.apply_retention():
            deleted.remove()

    @rule()
    def write_checkpoints(self) -> None:
        self.broker.state.catalog.write_checkpoints()

    # ---- how it ends and begins

    @rule()
    def restart(self) -> None:
        self.broker.close()
        self.start()

    @rule()
    def kill(self) -> None:
        self.broker.state.catalog.close(clean=False)
        self.broker.directory.close(clean=False)
        self.start()

    @rule(seed=SEEDS)
    def crash(self, seed: int | None) -> None:
        self.broker.state.catalog.close(clean=False)
        self.broker.directory.close(clean=False)
        self.files.power_loss(self.root / "data", None if seed is None else Random(seed))
        self.start()
        # Of what was only in the page cache a part is left, in order; that is what is expected from here on.
        for place in (("cached", 0), ("cached", 1)):
            left = committed_values(self.broker, *place)
            assert left == [value for value in self.expected[place] if value in left]
            self.expected[place] = left

    # ---- what always holds

    @invariant()
    def a_reader_finds_what_was_acknowledged(self) -> None:
        for place, values in self.expected.items():
            start = self.starts[place]
            assert list_offset_of(self.broker, place) == start
            assert committed_values(self.broker, *place, offset=start) == values
        if self.offset >= 0:
            assert committed(self.broker) == self.offset


def list_offset_of(broker: InProcessBroker, place: tuple[str, int]) -> int:
    """The first offset of *place* that may be read."""
    if place[0] == "t":
        error, offset = list_offset(broker, place[1])
        assert error == ErrorCode.NONE
        return offset
    topic = broker.state.catalog.find(place[0])
    assert topic is not None
    return topic.partitions[place[1]].log.log_start_offset


BrokerMachine.TestCase.settings = settings(
    max_examples=cycles(12), stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
test_what_was_acknowledged_survives_everything = BrokerMachine.TestCase
