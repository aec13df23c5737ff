"""
Records that are written once more, by way of the outbox: the copy of a dead letter.

Headers     the record's own, and those that Kafka Connect gives its dead letters. The outbox holds text: a header that
            is none is left out, and its bytes are in `<name>;base64`; those of a key in `eventbus_key;base64`
Source      KIP-298, error handling in Connect
"""

import base64
import traceback
from datetime import UTC, datetime
from typing import Final

from eventbus.database import OutboxRow
from eventbus.store.identifiers import new_event_id
from eventbus.transport.partitioning import slot_of
from eventbus.transport.port import IncomingRecord

KEY_IN_BASE64: Final = "eventbus_key;base64"
_ERRORS: Final = "__connect.errors."


def dead_letter_copy(
    topic: str, record: IncomingRecord, service: str, handler: str, error: BaseException, attempts: int
) -> OutboxRow:
    """The record as it came, under its key, with where it came from and what went wrong. A null value becomes empty."""
    headers = [
        (_ERRORS + "topic", record.topic),
        (_ERRORS + "partition", str(record.partition)),
        (_ERRORS + "offset", str(record.offset)),
        (_ERRORS + "connector.name", service),
        (_ERRORS + "stage", "TASK_PUT"),
        (_ERRORS + "class.name", handler),
        (_ERRORS + "exception.class.name", f"{type(error).__module__}.{type(error).__qualname__}"),
        (_ERRORS + "exception.message", str(error)),
        (_ERRORS + "exception.stacktrace", "".join(traceback.format_exception(error))),
        ("eventbus_attempts", str(attempts)),
    ]
    return outbox_copy(topic, record, headers)


def outbox_copy(topic: str, record: IncomingRecord, further: list[tuple[str, str]]) -> OutboxRow:
    """The record for another topic, with *further* headers behind its own."""
    key = _text(record.key)
    headers: list[tuple[str, str]] = []
    for name, value in record.headers:
        text = _text(value)
        if text is not None:
            headers.append((name, text))
        elif value is not None:
            headers.append((f"{name};base64", _base64(value)))
    if record.key is not None and key is None:
        headers.append((KEY_IN_BASE64, _base64(record.key)))
    if record.value is None:
        headers.append(("eventbus_null_value", "true"))
    kind = next((text for name, text in headers if name == "ce_type"), "")
    id = new_event_id()
    return OutboxRow(
        id=id,
        aggregatetype=topic,
        aggregateid=key or id,
        type=kind,
        payload=record.value or b"",
        topic=topic,
        key=key,
        headers=tuple((name, text.replace("\x00", "\\0")) for name, text in [*headers, *further]),
        slot=slot_of(None if key is None else key.encode()),
        stream_version=None,
        created_at=datetime.now(UTC),
    )


def _text(value: bytes | None) -> str | None:
    """None for what a column of text cannot hold."""
    try:
        text = None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
    return None if text is None or "\x00" in text else text


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
