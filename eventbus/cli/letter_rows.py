"""A dead letter on the terminal: a line of a table, or JSON."""

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from eventbus.cli.output import JsonValue, print_table, time_text

if TYPE_CHECKING:
    from eventbus.database import DeadLetter

_ERROR_CHARACTERS_MAX: Final = 80


def print_letters(letters: "Sequence[DeadLetter]", waiting: Mapping[str, int]) -> None:
    """As a table; *waiting*: how many events wait behind a letter, by its id, where it parks its key."""
    rows: list[dict[str, JsonValue]] = [
        {
            "id": letter.id,
            "handler": letter.handler or letter.consumer,
            "place": f"{letter.topic}-{letter.partition}@{letter.offset}",
            "type": letter.type,
            "key": bytes_text(letter.key),
            "waiting": waiting.get(letter.id),
            "error": f"{letter.error_class}: {letter.error_message}"[:_ERROR_CHARACTERS_MAX],
            "failed_at": time_text(letter.failed_at),
            "retry_at": time_text(letter.retry_at),
        }
        for letter in letters
    ]
    print_table(rows, empty="no dead letters")


def letter_summary(letter: "DeadLetter", waiting: int | None) -> dict[str, JsonValue]:
    """As JSON, without its bytes; *waiting*: how many events wait behind it, None: it parks nothing."""
    return {
        "id": letter.id,
        "consumer": letter.consumer,
        "handler": letter.handler,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "message_id": letter.message_id,
        "type": letter.type,
        "key": bytes_text(letter.key),
        "parks_key": waiting is not None,
        "waiting": waiting or 0,
        "error_class": letter.error_class,
        "error_message": letter.error_message,
        "attempts": letter.attempts,
        "failed_at": time_text(letter.failed_at),
        "retry_at": time_text(letter.retry_at),
        "edited_at": time_text(letter.edited_at),
    }


def bytes_text(value: bytes | None) -> str | None:
    """Text as it is; other bytes as `base64:…`."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"base64:{base64.b64encode(value).decode()}"
