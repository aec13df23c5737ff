"""What a record is to a service's handlers, at a look or looked at with care."""

from dataclasses import replace

import pytest

from eventbus.delivery.incoming import Incoming, Sorting, Undecodable, Unhandled
from eventbus.handlers import handles
from eventbus.messages import Envelope
from eventbus.serialization.types import MessageTypes
from eventbus.transport.port import IncomingRecord
from tests.eventbus.delivery.service import Paid, invocations, record


@handles(Paid)
async def take(event: Paid) -> None:
    """Sorted for, and never called here."""


def sorting() -> Sorting:
    found = invocations([take])
    return Sorting(found, MessageTypes(found))


def changed(**headers: bytes | None) -> IncomingRecord:
    """A payment with these headers instead of, or beside, its own."""
    original = record(Paid(number=7), 3)
    kept = {name: value for name, value in {**original.header_map, **headers}.items() if value is not None}
    return IncomingRecord("payments", 0, 3, b"o-1", original.value, kept, 1_772_000_000_000)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ce_subject": "ö".encode()},
        {"trace-of-a-stranger": b"\xff\x00"},
        {"ce_eventversion": b""},
        {"ce_eventversion": b"+1"},
        {"ce_time": None},
        {"ce_time": b"2026-03-01t12:30:15.25z"},
        {"ce_traceparent": b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
    ],
)
def test_an_event_is_the_same_however_its_headers_are_written(headers: dict[str, bytes | None]) -> None:
    """Its envelope is what its headers say, also when it is read later."""
    found = sorting().sort(changed(**headers), {})
    assert isinstance(found, Incoming)
    assert found.event == Paid(number=7)
    assert (found.type, found.message) == ("Paid", "payment-service/e-3")
    assert [call.name for call in found.calls] == ["payments.take"]
    if headers.get("ce_time", b"") is not None:
        assert found.envelope == Envelope.from_headers(found.record.headers)


@pytest.mark.parametrize(
    ("timestamp_ms", "year"), [(-(2**63), 1970), (-1, 1970), (1_772_000_000_000, 2026), (2**63 - 1, 9999)]
)
def test_a_timestamp_of_whatever_size_is_a_time(timestamp_ms: int, year: int) -> None:
    """It is the sender's, and one that no datetime can be must not hold up all that is behind it."""
    strange = replace(changed(ce_time=None), timestamp_ms=timestamp_ms)
    found = sorting().sort(strange, {})
    assert isinstance(found, Incoming)
    assert found.envelope.time.year == year


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"ce_time": b"yesterday"}, "cannot be read"),
        ({"ce_time": b"2026-03-01T12:30:15"}, "requires an offset"),
        ({"ce_eventversion": b"two"}, "cannot be read"),
        ({"ce_eventversion": b"9"}, "newer than version"),
        ({"ce_streamversion": b"many"}, "cannot be read"),
        ({"ce_correlationid": b"\xff"}, "cannot be read"),
        ({"ce_specversion": b"2.0"}, "reads CloudEvents"),
        ({"ce_source": None}, "ce_source is missing"),
        ({"ce_id": b"e\x00"}, "has a NUL in it"),
    ],
)
def test_what_cannot_be_read_is_found_before_its_handler_runs(headers: dict[str, bytes | None], says: str) -> None:
    """Also what no handler may ever ask for."""
    found = sorting().sort(changed(**headers), {})
    assert isinstance(found, Undecodable)
    assert says in str(found.error)


def test_what_no_handler_takes_is_told_by_its_type() -> None:
    """Once a type, in the log."""
    found = sorting().sort(changed(ce_type=b"Refunded"), {})
    assert isinstance(found, Unhandled)
    assert found.type == "Refunded"
