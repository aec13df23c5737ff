"""
Publishing events of no aggregate: by callers through the outbox and the relay (`way` outbox; counted until the log has
acknowledged the last one and its row is gone), or straight by the transport (transport), or by the raw client (raw).
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

import anyio
from confluent_kafka import Producer

from benchmarks import answering
from benchmarks.case import Unsound
from benchmarks.delivery import Paid
from eventbus.application.garbage import spare_the_collector
from eventbus.database import Database, Migrations, Outbox, SlotLeases
from eventbus.delivery import Relay
from eventbus.messages import Envelope, Metadata
from eventbus.serialization import encode
from eventbus.store import Transactions, new_event_id
from eventbus.transport import KafkaTransport, OutgoingRecord, Published
from eventbus.transport.partitioning import SLOTS

_AT_ONCE = 1000


def _event(number: int) -> Paid:
    return Paid(order_id=f"order-{number % 1000}", amount=number, reference="a reference of some length")


def _headers(event: Paid) -> list[tuple[str, str | bytes]]:
    id, now = new_event_id(), datetime.now(UTC)
    return list(Envelope(id, "Paid", 1, "bench", now, event.order_id, None, None, id, id, None).headers())


async def main(answers: answering.Answers) -> None:
    given = answering.given()
    events, topic, callers = given["events"], given["topic"], given["callers"]
    transport = KafkaTransport(given["address"])
    await transport.start()
    database = Database.from_url(given["url"])
    await Migrations(database).upgrade()
    transactions = Transactions(database, "bench")
    relay = Relay(database, Outbox(), SlotLeases(), transport, "bench", service=f"bench-{uuid4().hex[:6]}")
    transactions.when_committed(relay.wake)

    async def by_outbox() -> None:
        before = relay.status().published

        async def call(first: int) -> None:
            for number in range(first, events, callers):
                event = _event(number)
                async with transactions.begin(lazily=True) as transaction:
                    metadata = Metadata(str(uuid4()), "Pay", 1, "bench", datetime.now(UTC))
                    unit = transaction.unit_of_work(metadata)
                    unit.publish(event, topic=topic, key=event.order_id)
                    await unit.complete()

        await asyncio.gather(*(call(first) for first in range(callers)))
        end = time.perf_counter() + 60
        while relay.status().published - before < events:
            if time.perf_counter() > end:
                raise Unsound(f"of {events} events {relay.status().published - before} were published")
            await asyncio.sleep(0.001)

    producer = transport.producer()

    async def by_transport() -> None:
        for first in range(0, events, _AT_ONCE):
            some = [_event(number) for number in range(first, min(events, first + _AT_ONCE))]
            outcomes = await producer.publish(
                [OutgoingRecord(topic, each.order_id.encode(), encode(each), _headers(each)) for each in some]
            )
            if not all(isinstance(outcome, Published) for outcome in outcomes):
                raise Unsound("an event was not published")

    async def by_client() -> None:
        bare = Producer({"bootstrap.servers": given["address"], "linger.ms": 5, "partitioner": "murmur2_random"})
        for number in range(events):
            event = _event(number)
            headers: list[tuple[str, str | bytes | None]] = [*_headers(event)]
            bare.produce(topic, encode(event), event.order_id, headers=headers)
            if number % _AT_ONCE == 0:
                bare.poll(0)
        if bare.flush(60):
            raise Unsound("an event was not published")

    ways = {"outbox": by_outbox, "transport": by_transport, "raw": by_client}

    async def run(_turn: Mapping[str, object]) -> dict[str, float]:
        begun, cpu = time.perf_counter(), time.process_time()
        await ways[given["way"]]()
        seconds = time.perf_counter() - begun
        return {"rate": events / seconds, "CPU": (time.process_time() - cpu) / events * 1e6}

    async with anyio.create_task_group() as tasks:
        if given["way"] == "outbox":
            await tasks.start(relay.run)
            while len(relay.status().slots) < SLOTS:  # noqa: ASYNC110 (the relay has no event for it)
                await asyncio.sleep(0.01)
        spare_the_collector()
        await answers.loop(run)
        if given["way"] == "outbox":
            await relay.stop()
    await producer.aclose()
    await transport.aclose()
    await database.aclose()


if __name__ == "__main__":
    answering.serve(main)
