"""
An independent checker: it knows the topics (read with kafka-python) and the services' HTTP answers, nothing else.

It folds the events itself and compares what must have happened with what the services say:

    every accepted order is placed once, paid for or declined once, and ends paid or rejected accordingly;
    no payment is made twice; no event is missing, doubled or out of its stream's order;
    the rows that the services answer are the fold of the events, no more and no fewer.

One repetition is allowed: what the killed service's relay had published and not yet ticked off when it was killed is
published again, with the same id, by its successor. Such a copy is counted and shown; any other is a fault.
"""

import argparse
import json
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from kafka import KafkaConsumer, TopicPartition
from rich.console import Console
from rich.table import Table

from samples.demo.ledger import Ledger

if TYPE_CHECKING:
    from kafka import ConsumerRecord

ORDERS, PAYMENTS = "orders", "payments"


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One record of a topic, in the terms of its CloudEvents headers; logged_at in seconds since the epoch."""

    topic: str
    partition: int
    offset: int
    logged_at: float
    id: str
    type: str
    time: float
    stream: str
    stream_version: int
    data: Mapping[str, str]


Rows = Mapping[str, Mapping[str, str | None]]


@dataclass
class Findings:
    """What was counted, and every fault in words."""

    figures: dict[str, int | str] = field(default_factory=dict[str, int | str])
    faults: list[str] = field(default_factory=list[str])


def check(events: Sequence[LoggedEvent], orders: Rows, payments: Rows, ledger: Ledger) -> Findings:
    """Compares the log, the services' rows and what the services had promised over HTTP."""
    findings = Findings()
    faults = findings.faults
    unique = _without_repetitions(events, ledger, findings)
    faults += _stream_faults(unique)
    by_type: dict[str, list[LoggedEvent]] = {}
    for event in unique:
        by_type.setdefault(event.type, []).append(event)
    expected_orders: dict[str, dict[str, str | None]] = {}
    for event in by_type.get("OrderPlaced", []):
        expected_orders[event.data["order_id"]] = {
            "customer_id": event.data["customer_id"],
            "status": "placed",
            "total": event.data["total"],
        }
    for name, status in (("OrderPaid", "paid"), ("OrderRejected", "rejected")):
        for event in by_type.get(name, []):
            if event.data["order_id"] not in expected_orders:
                faults.append(f"{name} for {event.data['order_id']}, which was never placed")
            else:
                expected_orders[event.data["order_id"]]["status"] = status
    expected_payments: dict[str, dict[str, str | None]] = {}
    for name, status in (("PaymentAuthorized", "authorized"), ("PaymentDeclined", "declined")):
        for event in by_type.get(name, []):
            expected_payments[event.data["order_id"]] = {
                "customer_id": event.data["customer_id"],
                "status": status,
                "amount": event.data["amount"],
                "payment_id": event.data.get("payment_id"),
            }
    faults += _exactly_one(ledger.orders, by_type, ("OrderPlaced",), "was accepted over HTTP")
    faults += _exactly_one(ledger.orders, by_type, ("PaymentAuthorized", "PaymentDeclined"), "was accepted over HTTP")
    faults += _exactly_one(ledger.orders, by_type, ("OrderPaid", "OrderRejected"), "was accepted over HTTP")
    made = Counter(event.data["payment_id"] for event in by_type.get("PaymentAuthorized", []))
    faults += [f"payment {payment} was made {count} times" for payment, count in made.items() if count > 1]
    verdicts = {"authorized": "paid", "declined": "rejected"}
    for order_id, payment in expected_payments.items():
        found = expected_orders.get(order_id, {}).get("status")
        if found != verdicts[str(payment["status"])]:
            faults.append(f"{order_id}: its payment was {payment['status']}, and the order is {found}")
    faults += _row_faults("order", expected_orders, orders)
    faults += _row_faults("payment", expected_payments, payments)
    topics = Counter(event.topic for event in unique)
    statuses = Counter(row["status"] for row in orders.values())
    findings.figures |= {
        "orders placed": len(by_type.get("OrderPlaced", [])),
        "orders paid": statuses["paid"],
        "orders rejected": statuses["rejected"],
        "payments made": len(made),
        f"events in {ORDERS}": topics[ORDERS],
        f"events in {PAYMENTS}": topics[PAYMENTS],
        **_latencies(ledger),
    }
    return findings


def _without_repetitions(events: Sequence[LoggedEvent], ledger: Ledger, findings: Findings) -> list[LoggedEvent]:
    unique: dict[str, LoggedEvent] = {}
    republished = 0
    for event in events:
        first = unique.setdefault(event.id, event)
        if first is event:
            continue
        # The killed relay's own: said before the kill, and copied after it.
        kills = ledger.relays_killed.get(event.topic, ())
        if first.data == event.data and any(first.time <= killed_at <= event.logged_at for killed_at in kills):
            republished += 1
        else:
            findings.faults.append(
                f"{event.type} {event.id} is doubled in {event.topic}: {_where(first)}, {_where(event)}"
            )
    findings.figures["published again after the kill, same id"] = republished
    return list(unique.values())


def _stream_faults(events: Iterable[LoggedEvent]) -> list[str]:
    faults: list[str] = []
    last: dict[str, LoggedEvent] = {}
    for event in sorted(events, key=lambda event: (event.topic, event.partition, event.offset)):
        before = last.get(event.stream)
        expected = before.stream_version + 1 if before else 1
        if event.stream_version != expected:
            faults.append(
                f"stream {event.stream}: version {expected} expected, {event.stream_version} at {_where(event)}"
            )
        if before and before.partition != event.partition:
            faults.append(f"stream {event.stream} is in two partitions: {_where(before)}, {_where(event)}")
        last[event.stream] = event
    return faults


def _exactly_one(
    order_ids: Iterable[str], by_type: Mapping[str, list[LoggedEvent]], types: Sequence[str], why: str
) -> list[str]:
    said = Counter(event.data["order_id"] for name in types for event in by_type.get(name, []))
    names = " or ".join(types)
    wrong = [f"{order_id} {why} and has {said[order_id]} of {names}" for order_id in order_ids if said[order_id] != 1]
    known = set(order_ids)
    return wrong + [f"{names} for {order_id}, which nobody ordered" for order_id in said if order_id not in known]


def _row_faults(noun: str, expected: Rows, actual: Rows) -> list[str]:
    faults: list[str] = []
    for key in sorted(expected.keys() | actual.keys()):
        if key not in actual:
            faults.append(f"{noun} {key} is in the log and not in the read model")
        elif key not in expected:
            faults.append(f"{noun} {key} is in the read model and not in the log")
        else:
            for name, value in expected[key].items():
                if not _same(value, actual[key].get(name)):
                    faults.append(f"{noun} {key}: {name} is {actual[key].get(name)} and the log says {value}")
    return faults


def _same(one: str | None, other: str | None) -> bool:
    if one == other or one is None or other is None:
        return one == other
    try:
        return Decimal(one) == Decimal(other)
    except ArithmeticError:
        return False


def _latencies(ledger: Ledger) -> dict[str, str]:
    took = [entry.settled_at - entry.posted_at for entry in ledger.orders.values() if entry.settled_at is not None]
    if len(took) < 2:
        return {}
    percentiles = statistics.quantiles(took, n=100)
    return {
        "POST to final status, p50": f"{percentiles[49] * 1000:.0f} ms",
        "POST to final status, p99": f"{percentiles[98] * 1000:.0f} ms",
    }


def _where(event: LoggedEvent) -> str:
    return f"{event.topic}[{event.partition}]@{event.offset}"


def read_topics(bootstrap: str, topics: Sequence[str]) -> list[LoggedEvent]:
    """Every record of the topics from the first offset to the end as it is now."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, isolation_level="read_committed", group_id=None
    )
    try:
        partitions = [
            TopicPartition(topic, number) for topic in topics for number in consumer.partitions_for_topic(topic) or ()
        ]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        events: list[LoggedEvent] = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=500).values():
                events += [_logged(record) for record in records]
        return events
    finally:
        consumer.close()


def _logged(record: "ConsumerRecord") -> LoggedEvent:
    headers = {name: value.decode() for name, value in record.headers}
    return LoggedEvent(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        logged_at=record.timestamp / 1000,
        id=headers["ce_id"],
        type=headers["ce_type"],
        time=datetime.fromisoformat(headers["ce_time"]).timestamp(),
        stream=headers["ce_stream"],
        stream_version=int(headers["ce_streamversion"]),
        data=json.loads(record.value),
    )


def read_rows(url: str, page_size: int = 1000) -> dict[str, dict[str, str | None]]:
    """Every row that a service lists, by order id."""
    rows: dict[str, dict[str, str | None]] = {}
    after = ""
    while True:
        page = httpx.get(url, params={"after": after, "limit": page_size}, timeout=30).raise_for_status().json()
        rows |= {row["order_id"]: row for row in page}
        if len(page) < page_size:
            return rows
        after = page[-1]["order_id"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="checker", description="Checks the log against the services' answers.")
    parser.add_argument("--broker", required=True, metavar="HOST:PORT")
    parser.add_argument("--orders", required=True, metavar="URL", help="the order service's list of orders")
    parser.add_argument("--payments", required=True, metavar="URL", help="the payment service's list of payments")
    parser.add_argument("--ledger", required=True, type=Path, help="what the demo was told over HTTP")
    options = parser.parse_args(arguments)
    findings = check(
        read_topics(options.broker, (ORDERS, PAYMENTS)),
        read_rows(options.orders),
        read_rows(options.payments),
        Ledger.load(options.ledger),
    )
    console = Console()
    table = Table("what", "count", title="What the log and the services say")
    table.columns[1].justify = "right"
    for name, figure in findings.figures.items():
        table.add_row(name, str(figure))
    console.print(table)
    for fault in findings.faults[:20]:
        console.print(f"[red]fault:[/red] {fault}")
    if len(findings.faults) > 20:
        console.print(f"and {len(findings.faults) - 20} more")
    console.print(
        f"[red]{len(findings.faults)} faults[/red]"
        if findings.faults
        else "[green]nothing lost, nothing doubled[/green]"
    )
    return 1 if findings.faults else 0


if __name__ == "__main__":
    sys.exit(main())
