"""What one request has led to can be followed through two services, with no help from either's code."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from eventbus import Application, Command, Event, Metadata, Next
from eventbus.store import StoredEvent
from tests.eventbus.application import desk, till
from tests.eventbus.application.desk import PlaceOrder

pytestmark = pytest.mark.anyio
TRACE = SpanContext(0x1234, 0x5678, is_remote=True, trace_flags=TraceFlags(1))
TRACEPARENT = f"00-{0x1234:032x}-{0x5678:016x}-01"


async def _stream(app: Application, name: str, events: int) -> Sequence[StoredEvent]:
    """The stream, as soon as it has so many events."""
    with anyio.fail_after(20):
        while True:
            async with app.transactions.begin() as transaction:
                found = await transaction.load(name)
            if len(found) >= events:
                return found
            await anyio.sleep(0.02)


async def test_correlation_causation_and_trace_go_from_a_command_through_two_services_and_back(tmp_path: Path) -> None:
    """Command, event, outbox, log, the other's handler, its command, its event, the log, the first one's handler."""
    handled: list[tuple[str, Metadata]] = []

    async def seen(message: Command | Event, call_next: Next, metadata: Metadata) -> object:
        handled.append((type(message).__name__, metadata))
        return await call_next()

    broker_url = f"embedded:{tmp_path}"
    ordering = Application("desk", modules=[desk], broker_url=broker_url, partitions=1, middleware=[seen])
    paying = Application("till", modules=[till], broker_url=broker_url, partitions=1, middleware=[seen])
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
