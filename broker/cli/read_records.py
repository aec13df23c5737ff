"""`broker records read`, `tail` and `count`."""

from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from broker.cli.at import cluster_of
from broker.cli.cluster import LATEST, Cluster
from broker.cli.output import Row, print_json, print_line, print_rows
from broker.cli.places import BeforeEnd, Beginning, Place, UnreadablePlace, parse_place
from broker.cli.positions import Offsets, resolve
from broker.cli.record_lines import ReadRecord, as_json, as_text
from broker.cli.refused import Refused

_MESSAGES_A_TURN = 500
_POLL_SECONDS = 0.5


def read_records(parsed: Namespace) -> int:
    try:
        place = parse_place(parsed.start)
    except UnreadablePlace as error:
        raise Refused(f"--from: {error}") from error
    limit: int | None = parsed.max
    return _print(parsed, place, limit)


def tail_records(parsed: Namespace) -> int:
    last: int = parsed.last
    return _print(parsed, BeforeEnd(max(0, last)), None)


def count_records(parsed: Namespace) -> int:
    reading = _Reading(cluster_of(parsed), parsed, Beginning(), follows=False)
    counts: Counter[int] = Counter(dict.fromkeys(reading.partitions, 0))
    counts.update(record.partition for record in reading.records())
    topic: str = parsed.topic
    if parsed.json:
        print_json({"topic": topic, "records": counts.total(), "partitions": {str(key): counts[key] for key in counts}})
        return 0
    rows: list[Row] = [{"partition": str(number), "records": count} for number, count in sorted(counts.items())]
    print_rows([*rows, {"partition": "all", "records": counts.total()}], as_json=False, empty="")
    return 0


def _print(parsed: Namespace, place: Place, limit: int | None) -> int:
    reading = _Reading(cluster_of(parsed), parsed, place, follows=parsed.follow)
    if limit is not None and limit <= 0:
        return 0
    form: str = parsed.format
    writes_json: bool = parsed.json
    for number, record in enumerate(reading.records(), start=1):
        if writes_json:
            print_json(as_json(record))
        else:
            print_line(as_text(record, form))
        if number == limit:
            break
    return 0


class _Reading:
    """From a place to the end that was there at the start, or for ever."""

    def __init__(self, cluster: Cluster, parsed: Namespace, place: Place, *, follows: bool) -> None:
        self._cluster = cluster
        self._topic: str = parsed.topic
        self._follows = follows
        committed = not parsed.uncommitted
        partitions = cluster.partitions(self._topic, parsed.partition)
        self.partitions = [each.partition for each in partitions]
        self._starts: Offsets = resolve(cluster, partitions, place, committed=committed)
        self._ends: Offsets = cluster.offsets(LATEST, partitions, committed=committed)
        self._isolation = "read_committed" if committed else "read_uncommitted"

    def records(self) -> Iterator[ReadRecord]:
        """In the order of each partition. Raises Refused."""
        left = {key[1] for key, end in self._ends.items() if self._follows or self._starts[key] < end}
        if not left:
            return
        consumer = self._cluster.consumer(
            {
                "isolation.level": self._isolation,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
                "fetch.queue.backoff.ms": 10,
            }
        )
        try:
            consumer.assign([TopicPartition(self._topic, number, self._starts[self._topic, number]) for number in left])
            while left:
                yield from self._turn(consumer, left)
        except KafkaException as error:
            raise self._cluster.refusal(error, f"topic {self._topic!r}") from error
        finally:
            consumer.close()

    def _turn(self, consumer: Consumer, left: set[int]) -> Iterator[ReadRecord]:
        first = consumer.poll(_POLL_SECONDS)
        # consume() alone would wait until it has them all.
        for message in () if first is None else (first, *consumer.consume(_MESSAGES_A_TURN, 0)):
            number = message.partition()
            error = message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if not self._follows and number is not None:
                    left.discard(number)
                continue
            record = _record(message)
            if record.partition in left or self._follows:
                end = self._ends[self._topic, record.partition]
                if self._follows or record.offset < end:
                    yield record
                if not self._follows and record.offset >= end - 1:
                    left.discard(record.partition)


def _record(message: Message) -> ReadRecord:
    kind, timestamp = message.timestamp()
    # The stubs let headers be a dict, or values be text: that is how they may be given, not how they come.
    headers = cast("Sequence[tuple[str, bytes | None]]", message.headers() or ())
    return ReadRecord(
        message.partition() or 0,
        message.offset() or 0,
        timestamp if kind else -1,
        message.key(),
        message.value(),
        headers,
    )
