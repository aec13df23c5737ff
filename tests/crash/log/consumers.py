"""Whoever reads: readers of places in both isolations, and members of groups, which commit what they have got."""

import time
from collections.abc import Mapping, Sequence

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaException, Message, TopicPartition

from tests.crash.log.history import Commit, Committed, History, Isolation, Poll, Seen
from tests.crash.log.worker import Topic, Worker, split


def seen(messages: Sequence[Message]) -> list[Seen]:
    """What a poll gave, without its errors."""
    found: list[Seen] = []
    for message in messages:
        if message.error() is None:
            value, offset = message.value(), message.offset()
            assert offset is not None
            text = value.decode() if value is not None else None
            found.append(Seen(f"{message.topic()}-{message.partition()}", offset, text))
    return found


class Reader:
    """One consumer of given places, in no group."""

    def __init__(
        self,
        worker: Worker,
        name: str,
        places: Sequence[str],
        isolation: Isolation,
        *,
        from_end: bool = False,
        start: Mapping[str, int] | None = None,
    ) -> None:
        self._worker = worker
        self._poll = Poll(worker.new_name(name), 0, isolation)
        self.next = dict(start or dict.fromkeys(places, OFFSET_END if from_end else OFFSET_BEGINNING))
        """Where it goes on, by place."""
        self._consumer = Consumer(
            worker.settings(
                group_id=f"{name}-none",
                isolation_level=f"read_{isolation}",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_wait_max_ms=100,
            )
        )
        self._consumer.assign([TopicPartition(*split(place), offset) for place, offset in self.next.items()])

    def poll(self, seconds: float) -> int:
        """Records; how many it got."""
        operation = self._worker.history.invoke(self._worker.name, self._poll)
        found = seen(self._consumer.consume(200, seconds))
        self._worker.history.complete(operation, "ok" if found else "fail", records=found)
        self.next.update({record.place: record.offset + 1 for record in found})
        return len(found)

    def close(self) -> None:
        self._consumer.close()


class PlaceReader(Worker):
    """Reads places from the start; now and then another consumer goes on, in the middle of a batch perhaps."""

    def __init__(
        self, name: str, history: History, bootstrap: str, seed: int, *, topics: Sequence[Topic], isolation: Isolation
    ) -> None:
        super().__init__(name, history, bootstrap, seed)
        self._places = [place for topic in topics for place in topic.places]
        self._isolation: Isolation = isolation
        self._reader: Reader | None = None
        self._polls = 0

    def step(self) -> None:
        if self._reader is None:
            self._reader = Reader(self, self.name, self._places, self._isolation)
        self._polls += 1
        self.progress += self._reader.poll(0.1)
        if self._polls % 400 == 0:
            start = self._reader.next
            self._close()
            self._reader = Reader(self, self.name, self._places, self._isolation, start=start)

    def finish(self) -> None:
        """Once more from the start to the end."""
        self._close()
        self._reader = Reader(self, self.name, self._places, self._isolation)
        # The first record may take a while, when the machine is busy.
        silent, silent_max = 0, 20
        while silent < silent_max:
            if self._reader.poll(0.1):
                silent, silent_max = 0, 5
            else:
                silent += 1
        self._close()

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class GroupMember(Worker):
    """One member of a group: gets records, commits behind them, and leaves and comes back now and then."""

    def __init__(
        self,
        name: str,
        history: History,
        bootstrap: str,
        seed: int,
        *,
        group: str,
        topics: Sequence[Topic],
        protocol: str,
    ) -> None:
        super().__init__(name, history, bootstrap, seed)
        self._group = group
        self._topics = topics
        self._protocol = protocol
        self._consumer: Consumer | None = None
        self._incarnation = name
        self._assignment = 0
        self._next: dict[str, int] = {}

    def step(self) -> None:
        try:
            consumer = self._joined()
            before = self._assignment
            found = seen(consumer.consume(100, 0.1))
            # A rebalance inside of the call: what came is of the assignment before or of the one behind it.
            ambiguous = before != self._assignment
            if found:
                poll = Poll(self._incarnation, self._assignment, "committed", self._group)
                operation = self.history.invoke(self.name, poll)
                self.history.complete(operation, "ok", records=found)
            if ambiguous:
                self._assignment += 1
            else:
                self._next |= {record.place: record.offset + 1 for record in found}
            self.progress += len(found)
            if self._next and self.random.random() < 0.3:
                self._commit(consumer)
            if self.random.random() < 0.01:
                self.finish()
        except KafkaException:
            self.finish()

    def finish(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
            self._next.clear()

    def _joined(self) -> Consumer:
        if self._consumer is None:
            self._incarnation = self.new_name(self.name)
            more = {} if self._protocol == "consumer" else {"session_timeout_ms": 3_000, "heartbeat_interval_ms": 500}
            self._consumer = Consumer(
                self.settings(
                    group_id=self._group,
                    group_protocol=self._protocol,
                    isolation_level="read_committed",
                    enable_auto_commit=False,
                    auto_offset_reset="earliest",
                    fetch_wait_max_ms=100,
                    **more,
                )
            )
            self._consumer.subscribe(
                [topic.name for topic in self._topics],
                on_assign=self._assigned,
                on_revoke=self._revoked,
                on_lost=self._lost,
            )
        return self._consumer

    def _assigned(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._assignment += 1

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._assignment += 1
        self._commit(consumer)
        self._forget(partitions)

    def _lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._assignment += 1
        self._forget(partitions)

    def _forget(self, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            self._next.pop(f"{each.topic}-{each.partition}", None)

    def _commit(self, consumer: Consumer) -> None:
        if not self._next:
            return
        offsets = dict(self._next)
        self._next.clear()
        operation = self.history.invoke(self.name, Commit(self._group, offsets))
        try:
            consumer.commit(
                offsets=[TopicPartition(*split(place), offset) for place, offset in offsets.items()], asynchronous=False
            )
        except KafkaException as error:
            self.history.complete(operation, "unknown", reason=str(error))
        else:
            self.history.complete(operation, "ok")
            self.progress += 1


class GroupWatcher(Worker):
    """Asks for the committed offsets of groups."""

    def __init__(
        self, name: str, history: History, bootstrap: str, seed: int, *, groups: Sequence[str], topics: Sequence[Topic]
    ) -> None:
        super().__init__(name, history, bootstrap, seed)
        self._places = [place for topic in topics for place in topic.places]
        self._clients = {group: Consumer(self.settings(group_id=group)) for group in groups}

    def step(self) -> None:
        for group in self._clients:
            self.look(group)
        time.sleep(0.1)

    def look(self, group: str) -> bool:
        """One look at a group; whether it was answered."""
        operation = self.history.invoke(self.name, Committed(group))
        try:
            answer = self._clients[group].committed([TopicPartition(*split(place)) for place in self._places], 5)
        except KafkaException as error:
            self.history.complete(operation, "fail", reason=str(error))
            return False
        failed = [each for each in answer if each.error is not None]
        if failed:
            self.history.complete(operation, "fail", reason=str(failed[0].error))
            return False
        # Without an offset librdkafka gives -1001.
        offsets = {f"{each.topic}-{each.partition}": max(each.offset, -1) for each in answer}
        self.history.complete(operation, "ok", offsets=offsets)
        self.progress += 1
        return True

    def finish(self) -> None:
        for group in self._clients:
            for _ in range(10):
                if self.look(group):
                    break
