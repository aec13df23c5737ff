"""Which dead letters a command is about: ids, or options that narrow all of them down."""

import base64
import binascii
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from eventbus.errors import InvalidConfiguration

if TYPE_CHECKING:
    from eventbus.database import LetterFilter

IdsArgument: TypeAlias = Annotated[list[str] | None, typer.Argument(metavar="ID", help="As `list` shows them.")]
ConsumerOption: TypeAlias = Annotated[str | None, typer.Option(help="A service's handlers, or a projection.")]
HandlerOption: TypeAlias = Annotated[
    str | None, typer.Option(help="The handler that failed, module.function as `list` shows it.")
]
TypeOption: TypeAlias = Annotated[str | None, typer.Option("--type", help="The event's type.")]
TopicOption: TypeAlias = Annotated[str | None, typer.Option(help="The topic that they came from.")]
KeyOption: TypeAlias = Annotated[str | None, typer.Option(help="The record's key; other bytes than text: base64:….")]
ErrorOption: TypeAlias = Annotated[str | None, typer.Option(help="A part of the error's class or message.")]
BeforeOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="TIME", help="Failed before then: ISO 8601, in UTC unless it says otherwise.")
]
AfterOption: TypeAlias = Annotated[str | None, typer.Option(metavar="TIME", help="Failed then or later.")]
AllOption: TypeAlias = Annotated[bool, typer.Option("--all", help="Every dead letter.")]


def letter_filter(
    *,
    ids: list[str] | None = None,
    consumer: str | None,
    handler: str | None,
    event_type: str | None,
    topic: str | None,
    key: str | None,
    error: str | None,
    before: str | None,
    after: str | None,
) -> "LetterFilter":
    """The options as a filter. Raises InvalidConfiguration for a time or key that cannot be read."""
    from eventbus.database import LetterFilter

    return LetterFilter(
        ids=ids or None,
        consumer=consumer,
        handler=handler,
        type=event_type,
        topic=topic,
        key=_key(key),
        error=error,
        before=_time("--before", before),
        after=_time("--after", after),
    )


def require_chosen(which: "LetterFilter", every: bool) -> None:
    """Raises InvalidConfiguration unless something narrows them down, or all are meant."""
    from eventbus.database import LetterFilter

    if every == (which != LetterFilter()):
        raise InvalidConfiguration(
            "Say which dead letters: their ids, --key, --handler, --type, --topic, --error, --before, --after, "
            "--consumer; or --all, alone."
        )


def _key(text: str | None) -> bytes | None:
    if text is None:
        return None
    if not text.startswith("base64:"):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix("base64:"), validate=True)
    except binascii.Error as error:
        raise InvalidConfiguration(f"--key {text}: what follows base64: is none: {error}.") from None


def _time(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidConfiguration(
            f"{option} {text}: no ISO 8601 time, such as 2026-01-31T12:00:00Z or 2026-01-31."
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
