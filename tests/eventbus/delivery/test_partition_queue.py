from dataclasses import dataclass

from eventbus.database import LogPartition
from eventbus.delivery.backoff import Backoff
from eventbus.delivery.partition_queue import PartitionQueue
from eventbus.delivery.read_ahead import ReadAhead
from eventbus.transport import IncomingRecord, PartitionBatch, TopicPartition
from tests.eventbus.delivery.service import place, records


@dataclass
class Claimed:
    log: LogPartition
    next_offset: int


def queue(next_offset: int = 0) -> PartitionQueue:
    return PartitionQueue(TopicPartition("payments", 0), Claimed(place(), next_offset), 1)


def test_records_that_are_handled_already_do_not_wait() -> None:
    """A broker answers from the start of a batch, which may lie before the offset asked for."""
    subject = queue(next_offset=3)
    subject.add(PartitionBatch("payments", 0, records(range(5)), 5))
    taken, position = subject.take(10)
    assert [record.offset for record in taken] == [3, 4]
    assert position == 5


def test_the_last_part_of_what_waits_takes_the_readers_position_along() -> None:
    """Behind the last record there may be what is no record; between two parts the position is the next record's."""
    subject = queue()
    subject.add(PartitionBatch("payments", 0, records(range(5)), 7))
    assert subject.take(3)[1] == 3
    subject.claim = Claimed(place(), 3)
    subject.done()
    assert subject.take(3)[1] == 7


def test_a_position_that_moves_without_records_is_work() -> None:
    """The markers of transactions move the checkpoint on."""
    subject = queue(next_offset=5)
    subject.add(PartitionBatch("payments", 0, (), 5))
    assert not subject.is_ready()
    subject.add(PartitionBatch("payments", 0, (), 6))
    assert subject.is_ready()
    assert subject.take(10) == ([], 6)


def test_a_queue_that_comes_into_doubt_before_its_batch_begins_does_not_take_the_claim_back() -> None:
    """A lost connection between the two: there is nothing to apply, and nowhere to go."""
    subject = queue(next_offset=130)
    subject.add(PartitionBatch("payments", 0, records(range(130, 140)), 140))
    assert subject.is_ready()
    subject.doubt()
    assert subject.take(10) == ([], 130)
    assert subject.take_more(10) == ([], 130)


def test_what_waits_is_counted_in_bytes_until_it_is_done() -> None:
    """Headers too, which a stranger may have filled; a batch counts until the last of its records is done."""
    subject = queue()
    first, second = records(range(5)), records(range(3), start=5)
    large = IncomingRecord("payments", 0, 8, b"key", None, [("trace", bytes(5000)), ("none", None)], 0)
    subject.add(PartitionBatch("payments", 0, first, 5))
    subject.add(PartitionBatch("payments", 0, [*second, large], 9))
    everything = subject.waiting_bytes
    assert everything > 5000
    subject.claim = Claimed(place(), 4)
    subject.done()
    assert subject.waiting_bytes == everything
    subject.claim = Claimed(place(), 5)
    subject.done()
    assert 5000 < subject.waiting_bytes < everything
    assert ReadAhead(records_max=100, bytes_max=5000).is_full([subject])
    assert not ReadAhead(records_max=100, bytes_max=50_000).is_full([subject])
    assert ReadAhead(records_max=4, bytes_max=50_000).is_full([subject])
    subject.claim = Claimed(place(), 9)
    subject.done()
    assert subject.waiting_bytes == 0


def test_what_was_handled_already_keeps_nothing_from_being_read() -> None:
    """A broker's answer from before the checkpoint is not counted, as nothing would ever take it off again."""
    subject = queue(next_offset=5)
    subject.add(PartitionBatch("payments", 0, records(range(5)), 5))
    assert subject.waiting_bytes == 0
    subject.add(PartitionBatch("payments", 0, records(range(1), start=5), 6))
    subject.doubt()
    assert subject.waiting_bytes == 0


def test_waits_double_up_to_the_longest_and_begin_again() -> None:
    """Each is cut by up to a quarter, so that no two processes wait alike."""
    pauses = Backoff(0.1, 0.5)
    for whole in (0.1, 0.2, 0.4, 0.5, 0.5):
        assert whole * 0.75 <= pauses.next() <= whole
    pauses.reset()
    assert pauses.next() <= 0.1
