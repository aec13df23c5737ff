"""What one request has led to can be followed through two services, with no help from either's code."""

import json
import subprocess
import sys
import uuid
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import anyio
import httpx
import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from eventbus import Application, Command, Event, Metadata, Next
from eventbus.http import TraceContext
from eventbus.store import StoredEvent
from tests.eventbus.application import desk, till
from tests.eventbus.application.desk import PlaceOrder

pytestmark = pytest.mark.anyio
TRACE = SpanContext(0x1234, 0x5678, is_remote=True, trace_flags=TraceFlags(1))
TRACEPARENT = f"00-{0x1234:032x}-{0x5678:016x}-01"


async def _stream(app: Application, name: str, events: int) -> Sequence[StoredEvent]:
    """The stream, as soon as it has so many events."""
    with anyio.fail_after(60):
        while True:
            async with app.transactions.begin() as transaction:
                found = await transaction.load(name)
            if len(found) >= events:
                return found
            await anyio.sleep(0.02)


async def test_correlation_causation_and_trace_go_from_a_command_through_two_services_and_back(
    empty_log_url: str, tmp_path: Path
) -> None:
    """Command, event, outbox, log, the other's handler, its command, its event, the log, the first one's handler."""
    handled: list[tuple[str, Metadata]] = []

    async def seen(message: Command | Event, call_next: Next, metadata: Metadata) -> object:
        handled.append((type(message).__name__, metadata))
        return await call_next()

    ordering, paying = (
        Application(
            name,
            modules=[module],
            broker_url=empty_log_url,
            database_url=f"sqlite:///{tmp_path}/{name}.sqlite3",
            partitions=1,
            middleware=[seen],
        )
        for name, module in (("desk", desk), ("till", till))
    )
    async with ordering.lifespan(), paying.lifespan():
        with trace.use_span(NonRecordingSpan(TRACE)):
            receipt = await ordering.send(PlaceOrder(order_id="o-1", total=Decimal(5)))
        placed, settled = (one.envelope for one in await _stream(ordering, "Order-o-1", 2))
        (paid,) = (one.envelope for one in await _stream(paying, "Payment-p-o-1", 1))

    assert [name for name, _ in handled] == ["PlaceOrder", "Bill", "Charge", "PaymentMade"]
    command, bill, charge, payment = (metadata for _, metadata in handled)
    steps = (command, placed, bill, charge, paid, payment, settled)
    assert {step.correlation_id for step in steps} == {receipt.command_id}
    assert {step.traceparent for step in steps} == {TRACEPARENT}
    assert command.causation_id is None
    assert placed.causation_id == command.id
    assert bill.id == placed.id
    assert charge.causation_id == bill.id
    assert paid.causation_id == charge.id
    assert payment.id == paid.id
    assert settled.causation_id == payment.id
    assert (placed.source, paid.source, settled.source) == ("desk", "till", "desk")
    assert (bill.stream, bill.stream_version, payment.stream) == ("Order-o-1", 1, "Payment-p-o-1")


async def test_a_requests_trace_reaches_the_other_services_handler() -> None:
    """From the HTTP header, without OpenTelemetry in either; a header that is no traceparent harms nobody."""
    broker_url = f"memory:{uuid.uuid4()}"
    ordering = Application("desk", modules=[desk], broker_url=broker_url)
    handled: list[Metadata] = []

    async def seen(message: Event, call_next: Next, metadata: Metadata) -> object:
        handled.append(metadata)
        return await call_next()

    paying = Application("till", modules=[till], broker_url=broker_url, middleware=[seen])
    api = FastAPI()
    api.add_middleware(TraceContext)

    @api.post("/orders/{order_id}")
    async def place(order_id: str) -> str:
        return (await ordering.send(PlaceOrder(order_id=order_id, total=Decimal(5)))).command_id

    async with ordering.lifespan(), paying.lifespan():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://desk") as client:
            answers = [
                await client.post(f"/orders/{order_id}", headers=headers)
                for order_id, headers in (("o-1", {"traceparent": TRACEPARENT}), ("o-2", {"traceparent": "?"}))
            ]
        with anyio.fail_after(60):
            while len(handled) < 2:
                await anyio.sleep(0.01)
    traces = {metadata.correlation_id: metadata.traceparent for metadata in handled}
    assert traces == {answers[0].json(): TRACEPARENT, answers[1].json(): None}


_WITH_AN_SDK = """
import json
from decimal import Decimal
import anyio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from eventbus import Application
from eventbus.observability import continued
from tests.eventbus.application import desk, till

spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)

def of(name):
    return [span for span in spans.get_finished_spans() if span.name == name]

async def main():
    ordering = Application("desk", modules=[desk], broker_url="memory:sdk")
    paying = Application("till", modules=[till], broker_url="memory:sdk")
    async with ordering.lifespan(), paying.lifespan():
        with continued("TRACEPARENT"):
            await ordering.send(desk.PlaceOrder(order_id="o-1", total=Decimal(5)))
        with anyio.fail_after(60):
            while not of("process payments"):
                await anyio.sleep(0.01)
    print(json.dumps([
        {"name": span.name, "kind": span.kind.name, "id": f"{span.context.span_id:x}",
         "trace": f"{span.context.trace_id:x}", "parent": span.parent and f"{span.parent.span_id:x}",
         "links": [f"{link.context.trace_id:x}-{link.context.span_id:x}" for link in span.links]}
        for name in ("handle PlaceOrder", "process orders", "handle Charge", "process payments")
        for span in of(name)[:1]  # the event that settles the order comes by there, too
    ]))

anyio.run(main)
"""


def test_spans_of_consumers_link_to_the_spans_that_created_the_messages() -> None:
    """With an SDK, in a process of its own: the request's span, the command below it, a link from the other service."""
    script = _WITH_AN_SDK.replace("TRACEPARENT", TRACEPARENT)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    command, orders, charge, payments = json.loads(done.stdout)
    assert (command["trace"], command["parent"]) == (f"{0x1234:x}", f"{0x5678:x}")
    assert (orders["name"], orders["kind"]) == ("process orders", "CONSUMER")
    assert orders["links"] == [f"{command['trace']}-{command['id']}"]
    assert (charge["trace"], charge["parent"]) == (orders["trace"], orders["id"])
    assert payments["links"] == [f"{charge['trace']}-{charge['id']}"]
