import json
import subprocess
import sys
import threading

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from eventbus.observability import (
    EVENTS_HANDLED,
    EVENTS_SKIPPED,
    Count,
    Counters,
    command_span,
    consumed,
    current_traceparent,
    process_span,
    processed,
    publish_span,
    sent,
)

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_counters_are_summed_over_the_labels_that_are_not_asked_for() -> None:
    """The person on call asks for a type, a consumer or everything."""
    counters = Counters()
    counters.add(EVENTS_SKIPPED, 2, type="A", consumer="x")
    counters.add(EVENTS_SKIPPED, type="B", consumer="x")
    counters.add(EVENTS_HANDLED, 5)
    assert counters.value(EVENTS_SKIPPED) == 3
    assert counters.value(EVENTS_SKIPPED, type="A") == 2
    assert counters.value(EVENTS_SKIPPED, consumer="x") == 3
    assert counters.value(EVENTS_SKIPPED, type="C") == 0
    assert counters.counts()[0] == Count(EVENTS_HANDLED, (), 5)


def test_counters_lose_nothing_between_threads() -> None:
    """Plain handlers run in worker threads."""
    counters = Counters()
    threads = [threading.Thread(target=lambda: [counters.add("n") for _ in range(5_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.value("n") == 20_000


def test_the_traceparent_is_that_of_the_current_span() -> None:
    """It goes into the events' headers."""
    assert current_traceparent() is None
    context = SpanContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, False, TraceFlags(1))
    with trace.use_span(NonRecordingSpan(context)):
        assert current_traceparent() == TRACEPARENT


def test_without_an_sdk_everything_can_be_called() -> None:
    """No exporter is needed, and a wrong traceparent of a stranger harms nobody."""
    with (
        process_span("orders", "g", 0, 1, 10, (TRACEPARENT, "garbage")),
        publish_span("orders", 1),
        command_span("A", "1"),
    ):
        sent("orders", 1, 0.1)
        sent("orders", 1, 0.1, "BrokerUnavailable")
        consumed("orders", "g", 1)
        processed("orders", "g", 1, 0.1)
        processed("orders", "g", 1, 0.1, "ValueError")


_WITH_AN_SDK = """
import json
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from eventbus import observability

spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider([reader]))
traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
try:
    with observability.process_span("orders", "billing", 3, 42, 10, (traceparent, "garbage")):
        inner = observability.current_traceparent()
        raise ValueError("no")
except ValueError:
    pass
observability.sent("orders", 7, 0.1)
observability.consumed("orders", "billing", 9)
observability.processed("orders", "billing", 9, 0.2)
(span,) = spans.get_finished_spans()
found = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
print(json.dumps({
    "name": span.name, "kind": span.kind.name, "links": [f"{link.context.span_id:016x}" for link in span.links],
    "status": span.status.status_code.name, "attributes": dict(span.attributes),
    "inner": inner.startswith(f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-"),
    "metrics": sorted(metric.name for metric in found),
}))
"""


def test_with_an_sdk_spans_and_metrics_have_the_conventions_names() -> None:
    """In a process of its own, because providers are set once a process."""
    done = subprocess.run([sys.executable, "-c", _WITH_AN_SDK], capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout)
    assert (seen["name"], seen["kind"], seen["status"]) == ("process orders", "CONSUMER", "ERROR")
    assert seen["links"] == ["00f067aa0ba902b7"]
    assert seen["inner"]
    assert seen["attributes"] == {
        "messaging.system.name": "kafka",
        "messaging.destination.name": "orders",
        "messaging.consumer.group.name": "billing",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.partition.id": "3",
        "kafka.offset": 42,
        "messaging.batch.message_count": 10,
        "error.type": "ValueError",
    }
    assert seen["metrics"] == [
        "messaging.client.consumed.messages",
        "messaging.client.operation.duration",
        "messaging.client.sent.messages",
        "messaging.process.duration",
    ]
