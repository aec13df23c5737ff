import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event, to_binary_event
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from eventbus.errors import UndecodableMessage
from eventbus.messages import Envelope, Metadata, Position
from eventbus.messages.envelope import is_readable

TIME = datetime(2026, 3, 1, 12, 30, 15, 250000, tzinfo=UTC)
FULL = Envelope(
    id="e-1",
    type="OrderPlaced",
    version=2,
    source="order-service",
    time=TIME,
    subject="ö-1",
    stream="Order-ö-1",
    stream_version=7,
    correlation_id="c-1",
    causation_id="m-1",
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
)
text = st.text(min_size=1, max_size=20)
maybe = st.none() | text


def test_the_headers_are_those_of_the_page() -> None:
    """Other languages and the outbox's readers rely on each name."""
    assert dict(FULL.headers()) == {
        "content-type": b"application/json",
        "ce_specversion": b"1.0",
        "ce_id": b"e-1",
        "ce_type": b"OrderPlaced",
        "ce_source": b"order-service",
        "ce_time": b"2026-03-01T12:30:15.250000Z",
        "ce_subject": "ö-1".encode(),
        "ce_eventversion": b"2",
        "ce_stream": "Order-ö-1".encode(),
        "ce_streamversion": b"7",
        "ce_correlationid": b"c-1",
        "ce_causationid": b"m-1",
        "traceparent": b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }


def test_what_is_none_has_no_header() -> None:
    """An empty header would be an attribute with an empty value."""
    names = [name for name, _ in Envelope("e", "T", 1, "s", TIME).headers()]
    assert names == ["content-type", "ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_eventversion"]


@given(
    st.builds(
        Envelope,
        id=text,
        type=text,
        version=st.integers(1, 10_000),
        source=text,
        time=st.datetimes(timezones=st.just(UTC)),
        subject=maybe,
        stream=maybe,
        stream_version=st.none() | st.integers(1, 2**63),
        correlation_id=maybe,
        causation_id=maybe,
        traceparent=maybe,
    )
)
def test_an_envelope_survives_its_headers(envelope: Envelope) -> None:
    """Whatever the text."""
    assert Envelope.from_headers(envelope.headers()) == envelope


def test_the_cloudevents_package_reads_our_headers() -> None:
    """An independent implementation of the Kafka binding sees the same event."""
    event = from_kafka_event(KafkaMessage(headers=dict(FULL.headers()), key=None, value=b'{"total":"5"}'))
    assert isinstance(event, CloudEvent)
    assert event.get_id() == "e-1"
    assert event.get_type() == "OrderPlaced"
    assert event.get_source() == "order-service"
    assert event.get_time() == TIME
    assert event.get_subject() == "ö-1"
    assert event.get_extension("eventversion") == "2"
    assert event.get_extension("streamversion") == "7"
    assert event.get_data() == {"total": "5"}


@given(
    text.filter(lambda given: given.isprintable()),
    st.sampled_from(["50 %", "%41", '"', "a=b&c", "Ö/ü €", "😀", "a,b;c"]),
)
def test_special_characters_travel_as_they_are(given_text: str, special: str) -> None:
    """The Kafka binding's headers are UTF-8; percent-encoding is the HTTP binding's alone. Asked both ways."""
    subject = given_text + special
    ours = Envelope("e", "T", 1, f"/{special}", TIME, subject, correlation_id=special)
    event = from_kafka_event(KafkaMessage(headers=dict(ours.headers()), key=None, value=b"{}"))
    assert isinstance(event, CloudEvent)
    assert (event.get_subject(), event.get_source()) == (subject, f"/{special}")
    assert event.get_extension("correlationid") == special
    back = Envelope.from_headers(list(to_binary_event(event).headers.items()))
    assert (back.subject, back.source, back.correlation_id) == (subject, f"/{special}", special)


def test_every_extension_has_a_name_that_cloudevents_allows() -> None:
    """Small letters and digits, at most twenty; the trace is W3C's header, and that of CloudEvents is read, too."""
    names = [name.removeprefix("ce_") for name, _ in FULL.headers() if name.startswith("ce_")]
    assert all(name.isalnum() and name.islower() and name.isascii() and len(name) <= 20 for name in names)
    headers = [(name.replace("traceparent", "ce_traceparent"), value) for name, value in FULL.headers()]
    assert Envelope.from_headers(headers) == FULL


@pytest.mark.parametrize("written", ["2026-03-01t12:30:15.25z", "2026-03-01T12:30:15.250000999Z"])
def test_a_time_may_be_written_in_every_way_of_rfc_3339(written: str) -> None:
    """Small letters, and more digits than a datetime has."""
    headers = {**dict(FULL.headers()), "ce_time": written.encode()}
    assert Envelope.from_headers(headers.items()).time == TIME


def test_we_read_what_the_cloudevents_package_writes() -> None:
    """A service in another framework may send without knowing of us."""
    attributes = {"id": "x", "source": "/billing", "type": "com.example.paid", "specversion": "1.0", "time": TIME}
    message = to_binary_event(
        CloudEvent(attributes={**attributes, "datacontenttype": "application/json"}, data={"a": 1})
    )
    envelope = Envelope.from_headers(list(message.headers.items()))
    assert (envelope.id, envelope.source, envelope.type) == ("x", "/billing", "com.example.paid")
    assert envelope.time == TIME
    assert envelope.version == 1
    assert json.loads(message.value or b"") == {"a": 1}


def test_without_ce_time_the_records_own_time_counts() -> None:
    """CloudEvents does not require it."""
    headers = [(name, value) for name, value in FULL.headers() if name != "ce_time"]
    assert Envelope.from_headers(headers, time=TIME) == FULL


def test_a_time_with_another_offset_is_the_same_moment() -> None:
    """RFC 3339 allows any."""
    local = TIME.astimezone(timezone(timedelta(hours=2)))
    headers = {**dict(FULL.headers()), "ce_time": local.isoformat().encode()}
    assert Envelope.from_headers(headers.items()).time == TIME


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"ce_specversion": None}, "ce_specversion is missing"),
        ({"ce_specversion": b"2.0"}, "ce_specversion is b'2.0'"),
        ({"ce_specversion": None, "content-type": b"application/cloudevents+json"}, "structured mode"),
        ({"ce_id": None}, "ce_id is missing or empty"),
        ({"ce_type": b""}, "ce_type is missing or empty"),
        ({"ce_source": None}, "ce_source is missing or empty"),
        ({"ce_time": None}, "ce_time is missing"),
        ({"ce_time": b"yesterday"}, "cannot be read"),
        ({"ce_time": b"2026-03-01T12:30:15"}, "requires an offset"),
        ({"ce_eventversion": b"two"}, "cannot be read"),
        ({"ce_id": b"\xff"}, "cannot be read"),
    ],
)
def test_headers_that_cannot_be_read_are_named(changed: dict[str, bytes | None], says: str) -> None:
    """The sender's developer finds the header in the dead letter's text."""
    headers = {**dict(FULL.headers()), **changed}
    with pytest.raises(UndecodableMessage, match=says):
        Envelope.from_headers(list(headers.items()))


ODD = st.sampled_from([None, b"", b"1", b"-1", b"+7", b"1" * 30, b"two", b"\xff", "ö".encode(), b"2026-03-01T12:30:15"])


def test_what_our_services_send_is_readable_at_a_look() -> None:
    """Otherwise each record would be looked at twice."""
    envelope = Envelope("e", "T", 3, "s", TIME, "o-1", "Order-o-1", 2, "c", "m", FULL.traceparent)
    assert is_readable(dict(envelope.headers()))
    assert is_readable(dict(Envelope("e", "T", 1, "s", TIME).headers()))


@given(
    st.dictionaries(st.sampled_from([*dict(FULL.headers()), "of-a-stranger"]), ODD, max_size=3),
    st.sets(st.sampled_from(sorted(dict(FULL.headers())))),
)
def test_what_is_readable_at_a_look_can_be_read(changed: dict[str, bytes | None], missing: set[str]) -> None:
    """An envelope that is read late must not fail where nobody expects it."""
    plain = {**dict(FULL.headers()), "ce_subject": b"o-1", "ce_stream": b"Order-o-1"}
    headers: dict[str, bytes | None] = {name: value for name, value in plain.items() if name not in missing}
    headers |= changed
    if is_readable(headers):
        assert Envelope.from_header_map(headers).id


def test_metadata_is_the_envelope_and_where_it_was_read() -> None:
    """A handler can ask for all of it."""
    metadata = Metadata.of(FULL, Position("orders", 3, 42), attempt=2)
    assert metadata.stream_version == 7
    assert metadata.traceparent == FULL.traceparent
    assert metadata.position == Position("orders", 3, 42)
    assert metadata.attempt == 2
