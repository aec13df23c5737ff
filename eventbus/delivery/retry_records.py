"""
A record that is to be handled later, by one handler: written once more, to a delay topic, by way of the outbox.

Topic       `<service>.retry.<delay>`: all of its records wait equally long, so the first one is due first
Headers     the record's own, and `eventbus_retry`: JSON with the handler, where the record came from, how often it was
            tried, which of the handler's delays this is, and when it is due
"""

import base64
import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from eventbus.database import OutboxRow
from eventbus.delivery.copies import KEY_IN_BASE64, outbox_copy
from eventbus.errors import UndecodableMessage
from eventbus.handlers.retry_later import Delay
from eventbus.transport.port import IncomingRecord

HEADER: Final = "eventbus_retry"
_BASE64: Final = ";base64"


@dataclass(frozen=True, slots=True)
class Retry:
    """
    One handler's retry of one record.

    record       as it was read first
    attempts     how often the handler has failed at it
    tier         which of the handler's delays it waits for, from 0
    message      the inbox's name for the event and the handler together
    due_at_ms    Unix time; 0 until it is written
    """

    record: IncomingRecord
    handler: str
    attempts: int
    tier: int
    message: str
    due_at_ms: int = 0

    @property
    def inbox_id(self) -> str:
        """The inbox's name for this retry: the relay may publish it twice."""
        return f"{self.message}@{self.tier}"

    def failed(self) -> "Retry":
        """The next one, after another failure."""
        return replace(self, attempts=self.attempts + 1, tier=self.tier + 1)


def retry_topic(service: str, delay: Delay) -> str:
    """The service's topic for that delay."""
    return f"{service}.retry.{delay.text}"


def is_retry_topic(service: str, topic: str) -> bool:
    """Whether it is one of the service's delay topics, or was in an earlier release."""
    return topic.startswith(f"{service}.retry.")


def retry_row(service: str, retry: Retry, delay: Delay, now: datetime) -> OutboxRow:
    """The row of the outbox that has *retry* wait from *now* on."""
    record = retry.record
    told = {
        "handler": retry.handler,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "attempts": retry.attempts,
        "tier": retry.tier,
        "message": retry.message,
        "due_at_ms": int((now.timestamp() + delay.seconds) * 1000),
        "base64": [name for name, value in record.headers if not _is_text(value)],
        "null": [name for name, value in record.headers if value is None],
    }
    return outbox_copy(retry_topic(service, delay), record, [(HEADER, json.dumps(told))])


def read_retry(record: IncomingRecord) -> Retry:
    """What a record of a delay topic holds. Raises UndecodableMessage for what is none of ours."""
    text = record.header_map.get(HEADER)
    if text is None:
        raise UndecodableMessage(f"the header {HEADER} is missing: not written by eventbus")
    try:
        told = json.loads(text)
        encoded = {f"{name}{_BASE64}": name for name in told["base64"]}
        headers = [
            (encoded[name], base64.b64decode(value or b"")) if name in encoded else (name, value)
            for name, value in record.headers
            if name not in (HEADER, KEY_IN_BASE64)
        ]
        headers += [(name, None) for name in told["null"]]
        raw_key = record.header_map.get(KEY_IN_BASE64)
        original = replace(
            record,
            topic=str(told["topic"]),
            partition=int(told["partition"]),
            offset=int(told["offset"]),
            key=record.key if raw_key is None else base64.b64decode(raw_key),
            kept_headers=headers,
            timestamp_ms=int(told["timestamp_ms"]),
        )
        return Retry(
            original,
            str(told["handler"]),
            int(told["attempts"]),
            int(told["tier"]),
            str(told["message"]),
            int(told["due_at_ms"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UndecodableMessage(f"the header {HEADER} cannot be read: {error}") from error


def _is_text(value: bytes | None) -> bool:
    try:
        return value is None or "\x00" not in value.decode()
    except UnicodeDecodeError:
        return False
