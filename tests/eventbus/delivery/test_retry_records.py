from datetime import UTC, datetime

import pytest

from eventbus.delivery.retry_records import HEADER, Retry, read_retry, retry_row
from eventbus.errors import UndecodableMessage
from eventbus.handlers.retry_later import Delay
from eventbus.transport.partitioning import slot_of
from eventbus.transport.port import IncomingRecord


def test_a_retry_keeps_bytes_that_are_no_text() -> None:
    """Key, headers and null headers come back as they were, and so does the place in the log."""
    headers = [("ce_id", b"1"), ("raw", b"\xff\x00"), ("nul", b"a\x00b"), ("null", None), ("odd;base64", b"text")]
    original = IncomingRecord("payments", 7, 42, b"\xfe", b"\x00\x01", headers, 123)
    retry = Retry(original, "handlers.take", 3, 1, "source/1#handlers.take")
    row = retry_row("shop", retry, Delay("10s", 10.0), datetime(2026, 1, 31, 12, tzinfo=UTC))
    assert row.topic == "shop.retry.10s"
    assert (row.key, row.slot) == (None, slot_of(None))
    found = read_retry(
        IncomingRecord(row.topic, 0, 0, None, row.payload, [(name, value.encode()) for name, value in row.headers], 1)
    )
    assert (found.record.topic, found.record.partition, found.record.offset) == ("payments", 7, 42)
    assert (found.record.key, found.record.value, found.record.timestamp_ms) == (b"\xfe", b"\x00\x01", 123)
    assert sorted(found.record.headers) == sorted(headers)
    assert (found.handler, found.attempts, found.tier, found.message) == ("handlers.take", 3, 1, retry.message)
    assert found.due_at_ms == datetime(2026, 1, 31, 12, 0, 10, tzinfo=UTC).timestamp() * 1000


@pytest.mark.parametrize("header", [None, b"?", b"[]", b"{}", b'{"base64": 1}'])
def test_what_cannot_be_read_is_said(header: bytes | None) -> None:
    """No header of ours, no JSON, or other JSON."""
    headers = [] if header is None else [(HEADER, header)]
    with pytest.raises(UndecodableMessage, match=HEADER):
        read_retry(IncomingRecord("shop.retry.10s", 0, 0, None, b"", headers, 0))
