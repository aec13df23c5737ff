"""`broker records produce`."""

import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from broker.cli.at import cluster_of
from broker.cli.cluster import REQUEST_SECONDS, Cluster
from broker.cli.output import print_done
from broker.cli.record_lines import GivenRecord, HeaderList, from_json
from broker.cli.refused import Refused


def produce_records(parsed: Namespace) -> int:
    cluster = cluster_of(parsed)
    topic: str = parsed.topic
    partition: int | None = parsed.partition
    cluster.partitions(topic, () if partition is None else (partition,))
    reads_json: bool = parsed.from_json
    headers = _headers(parsed.header)
    lines = (line.rstrip(b"\r\n") for line in sys.stdin.buffer)
    records = _given(lines, headers) if reads_json else _split(lines, parsed.key_separator, headers)
    count = _Writing(cluster, topic, -1 if partition is None else partition).write(records)
    print_done({"topic": topic, "produced": count}, f"{count} records produced to {topic}", as_json=parsed.json)
    return 0


class _Writing:
    def __init__(self, cluster: Cluster, topic: str, partition: int) -> None:
        options: dict[str, str | int] = {"linger.ms": 5, "partitioner": "murmur2_random", "enable.idempotence": "true"}
        self._cluster = cluster
        self._producer: Producer = cluster.producer(options)
        self._topic = topic
        self._partition = partition
        self._written = 0
        self._failure: KafkaError | None = None

    def write(self, records: Iterable[GivenRecord]) -> int:
        """How many are in the log. Raises Refused at the first that is not."""
        for record in records:
            self._produce(record)
            self._producer.poll(0)
            if self._failure is not None:
                break
        # Nobody waits for ever for a cluster that has gone.
        left = self._producer.flush(REQUEST_SECONDS)
        if self._failure is not None:
            raise Refused(f"topic {self._topic!r}: {self._failure.str()}; {self._written} records were written")
        if left:
            raise Refused(
                f"{self._cluster.bootstrap} does not answer; {self._written} records were written, {left} not"
            )
        return self._written

    def _produce(self, record: GivenRecord) -> None:
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    value=record.value,
                    key=record.key,
                    partition=self._partition,
                    headers=list(record.headers),
                    on_delivery=self._delivered,
                )
            except BufferError:
                self._producer.poll(0.1)
                continue
            except KafkaException as error:
                raise self._cluster.refusal(error, f"topic {self._topic!r}") from error
            return

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self._written += 1
        elif self._failure is None:
            self._failure = error


def _headers(texts: Sequence[str]) -> HeaderList:
    headers: list[tuple[str, bytes | None]] = []
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise Refused(f"--header {text}: expected NAME=VALUE")
        headers.append((name, value.encode()))
    return headers


def _split(lines: Iterable[bytes], separator: str | None, headers: HeaderList) -> Iterator[GivenRecord]:
    for number, line in enumerate(lines, start=1):
        if not separator:
            yield GivenRecord(None, line, headers)
            continue
        key, found, value = line.partition(separator.encode())
        if not found:
            raise Refused(
                f"line {number}: there is no {separator!r} between key and value; the lines before it were sent"
            )
        yield GivenRecord(key, value, headers)


def _given(lines: Iterable[bytes], headers: HeaderList) -> Iterator[GivenRecord]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            record = from_json(line.decode("utf-8", "replace"), number)
            yield record._replace(headers=[*record.headers, *headers])
