import json
from datetime import UTC, datetime
from typing import cast

import hypothesis.strategies as st
from hypothesis import given

from eventbus.messages import Envelope
from eventbus.store import StoredEvent
from eventbus.store.event_rows import NewRow, headers_text, outbox_row

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
ENVELOPES = st.builds(
    Envelope,
    id=TEXTS,
    type=TEXTS,
    version=st.integers(1, 99),
    source=TEXTS,
    time=st.datetimes(timezones=st.just(UTC)),
    subject=st.none() | TEXTS,
    stream=st.none() | TEXTS,
    stream_version=st.none() | st.integers(1, 2**62),
    correlation_id=st.none() | TEXTS,
    causation_id=st.none() | TEXTS,
    traceparent=st.none() | TEXTS,
)


def row(envelope: Envelope, data: bytes = b"{}") -> NewRow:
    return cast("NewRow", (*StoredEvent(envelope, data).row, "Order", "orders"))


@given(ENVELOPES)
def test_the_headers_of_a_row_are_those_of_its_envelope(envelope: Envelope) -> None:
    """Whatever characters are in them, the text is the JSON of the same pairs in the same order, with the same time."""
    expected = [list(pair) for pair in envelope.header_texts()]
    found = json.loads(headers_text(row(envelope)))
    times = [[pair[1] for pair in headers if pair[0] == "ce_time"] for headers in (found, expected)]
    assert [datetime.fromisoformat(one) for one in times[0]] == [datetime.fromisoformat(one) for one in times[1]]
    assert [pair for pair in found if pair[0] != "ce_time"] == [pair for pair in expected if pair[0] != "ce_time"]
    assert [pair[0] for pair in found] == [pair[0] for pair in expected]


@given(ENVELOPES, st.binary(max_size=20))
def test_a_stored_event_is_the_same_from_its_row(envelope: Envelope, data: bytes) -> None:
    """An envelope that is made when somebody asks is the one that was stored, also where the time is SQLite's text."""
    event = StoredEvent(envelope, data)
    assert StoredEvent.of_row(event.row) == event
    as_text = (*event.row[:4], envelope.time.isoformat(), *event.row[5:])
    assert StoredEvent.of_row(as_text).envelope == envelope
    assert hash(StoredEvent.of_row(event.row)) == hash(event)


def test_an_event_without_a_key_has_its_id_for_an_aggregate() -> None:
    """Debezium's router wants one of every row."""
    envelope = Envelope("e-1", "Placed", 1, "shop", datetime.now(UTC))
    found = outbox_row(row(envelope))
    assert (found.key, found.aggregateid, found.slot) == (None, "e-1", 0)
