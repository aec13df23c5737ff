"""Concurrent writers in several processes, and a reader that follows the log: it misses nothing, in order."""

import threading
from contextlib import ExitStack, closing

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from tests.crash.cycles import cycles
from tests.crash.log_reader import headers_of
from tests.crash.outbox_driver import PARTITIONS, Ledger
from tests.crash.outbox_world import OutboxWorld
from tests.crash.places import in_each_place

WRITING_SECONDS = cycles(2)
PROCESSES = 3
# A service's own. Nobody dies here: with less, three processes on one SQLite file keep each other from renewing, and a
# slot is taken over from a relay that lives, which repeats what it could not delete.
LEASE_SECONDS = 10.0


class Tail:
    """Reads the topic from its beginning in a thread, as soon as there is something, and keeps the events' ids."""

    def __init__(self, ledger: Ledger) -> None:
        self.seen: list[str] = []
        self._ledger = ledger
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        options = {"bootstrap.servers": self._ledger.bootstrap, "group.id": "tail", "enable.auto.commit": False}
        with closing(Consumer({**options, "fetch.wait.max.ms": 10})) as consumer:
            consumer.assign(
                [TopicPartition(self._ledger.topic, number, OFFSET_BEGINNING) for number in range(PARTITIONS)]
            )
            while not self._ended.is_set():
                self.seen += [headers_of(message)["ce_id"] for message in consumer.consume(100, timeout=0.05)]

    def end(self) -> None:
        self._ended.set()
        self._thread.join()


def commits_that_changed_places(world: OutboxWorld) -> int:
    """Entries that another one has overtaken: added to the database earlier, published later, in one partition."""
    entries, behind = world.tables.entries, 0
    highest = dict.fromkeys(range(PARTITIONS), 0)
    for record in world.log:
        position = entries[record.event_id].position
        behind += position < highest[record.partition]
        highest[record.partition] = max(highest[record.partition], position)
    return behind


@in_each_place
def test_a_reader_that_follows_the_log_misses_nothing(ledger: Ledger) -> None:
    """Each entry once, although transactions commit in another order than that in which they began."""
    with ExitStack() as stack:
        tail = Tail(ledger)
        stack.callback(tail.end)
        members = [stack.enter_context(ledger.member(lease_seconds=LEASE_SECONDS)) for _ in range(PROCESSES)]
        for member in members:
            member.write(4)
            member.await_answer("ready")
        ledger.pause(WRITING_SECONDS, WRITING_SECONDS)
        for member in members:
            member.rest()
        world = ledger.assert_sound_at_rest()
        ledger.await_equal(lambda: len(tail.seen), len(world.log))
        assert sorted(tail.seen) == sorted(world.tables.entries)
        for partition in range(PARTITIONS):
            there = [record.event_id for record in world.log if record.partition == partition]
            assert [id for id in tail.seen if id in set(there)] == there
        if ledger.database_url.startswith("postgresql"):
            # Otherwise this proves nothing: a reader of the table's numbers would have passed those over.
            assert commits_that_changed_places(world) > 0
        for member in members:
            member.stop()
