"""A directory of the embedded broker with a log that has gaps, and a service's SQLite file that speaks of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from sqlalchemy import Table, insert

from eventbus.database import Database, Migrations
from eventbus.database.tables import checkpoints, dead_letters, events, handler_starts, outbox, published
from eventbus.transport.kafka.administration import ClusterAdministration, TopicRequest
from tests.servers.broker_process import BrokerProcess

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
Content = tuple[int, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]


@dataclass(frozen=True)
class Place:
    """A topic's identity in one log."""

    cluster_id: str
    topic_id: str


class OldWorld:
    """`directory` for `embedded:DIR`, `database_url` of its service `shop`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.database_url = f"sqlite:///{directory}/shop.sqlite3"
        directory.mkdir(parents=True)

    def fill(self, records: int, *, partitions: int = 3, transaction: int = 10) -> Place:
        """
        Topic `orders`: committed transactions of *transaction* records, an aborted one after each third, keys that keep
        to a partition, headers with nothing in them, old times. Group `console` has read ten records of partition 0.
        """
        broker = BrokerProcess(self.directory / "broker").start()
        try:
            cluster = ClusterAdministration(broker.bootstrap, {})
            request = TopicRequest(partitions, None, {"retention.ms": "86400000000", "flush.before.ack": "true"})
            cluster.create({"orders": request})
            producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": "filler"})
            producer.init_transactions()
            for number, first in enumerate(range(0, records, transaction)):
                producer.begin_transaction()
                for at in range(first, min(first + transaction, records)):
                    self._produce(producer, at, partitions)
                producer.commit_transaction()
                if number % 3 == 2:
                    producer.begin_transaction()
                    self._produce(producer, -number, partitions)
                    producer.flush()
                    producer.abort_transaction()
            read = contents(broker.bootstrap, "orders", 0)[:11]
            consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "console"})
            consumer.commit(offsets=[TopicPartition("orders", 0, read[-1][0])], asynchronous=False)
            consumer.close()
            return Place(cluster.cluster_id(), cluster.topics(["orders"])["orders"].topic_id)
        finally:
            broker.stop()

    def _produce(self, producer: Producer, at: int, partitions: int) -> None:
        producer.produce(
            "orders",
            None if at % 11 == 5 else f"value {at}".encode(),
            None if at % 7 == 6 else f"key {at % 50}".encode(),
            abs(at) % 50 % partitions,
            timestamp=1_600_000_000_000 + at,
            headers=[("ce_id", str(at).encode()), ("empty", b""), ("nothing", None)],
        )

    async def write(self, rows: Sequence[tuple[Table, list[dict[str, object]]]]) -> None:
        """Rows of the service's database."""
        database = Database.from_url(self.database_url)
        await Migrations(database).prepare()
        async with database.transaction() as connection:
            for table, values in rows:
                await connection.execute(insert(table), values)
        await database.aclose()

    def rows(self, place: Place, next_offset: int, *, stored: int = 5) -> list[tuple[Table, list[dict[str, object]]]]:
        """What a service keeps about partition 0, at *next_offset*, and some of everything else."""
        log = {"cluster_id": place.cluster_id, "topic_id": place.topic_id, "partition": 0}
        here = {"topic": "orders", "partition": 0, "offset": next_offset}
        letter = {"error_class": "E", "error_message": "no", "error_stack": "…", "attempts": 5, "failed_at": NOW}
        event = {"category": "Order", "type": "OrderPlaced", "type_version": 1, "source": "shop", "time": NOW}
        row = {"aggregatetype": "orders", "type": "OrderPlaced", "payload": b"{}", "topic": "orders", "headers": "[]"}
        return [
            (
                checkpoints,
                [
                    {**log, "consumer": "shop", "generation": 0, "topic": "orders", "epoch": 7}
                    | {"next_offset": next_offset, "updated_at": NOW},
                    {**log, "consumer": "other", "generation": 0, "topic": "elsewhere", "epoch": 1}
                    | {"next_offset": 3, "updated_at": NOW, "topic_id": "another"},
                ],
            ),
            (handler_starts, [{**log, "consumer": "shop", "handler": "h", "first_offset": next_offset}]),
            (published, [{**here, "event_id": "e-1", "published_at": NOW}]),
            (
                dead_letters,
                [{**here, **letter, "id": "l-1", "consumer": "shop", "headers": "[]", "value": b"\xff\x00"}],
            ),
            (
                events,
                [
                    {**event, "stream": f"Order-{at}", "version": 1, "id": f"e-{at}", "data": b"\x00{}"}
                    for at in range(stored)
                ],
            ),
            (outbox, [{**row, "sequence": 41, "id": "e-2", "aggregateid": "o-1", "slot": 1, "created_at": NOW}]),
        ]


def contents(bootstrap: str, topic: str, partition: int) -> list[tuple[int, Content]]:
    """The committed records of a partition, each with its offset, read by a plain client."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "reads", "enable.partition.eof": True}
        | {"isolation.level": "read_committed", "enable.auto.commit": False, "fetch.wait.max.ms": 10}
    )
    consumer.assign([TopicPartition(topic, partition, 0)])
    found: list[tuple[int, Content]] = []
    ended = False
    while not ended:
        # It waits this long for as many as it is asked for, also when the end is among what it has.
        for message in consumer.consume(5000, 0.02):
            if message.error() is not None:
                ended = True
                continue
            headers = tuple((name, value) for name, value in message.headers() or ())
            found.append((message.offset(), (message.timestamp()[1], message.key(), message.value(), headers)))
    consumer.close()
    return found
