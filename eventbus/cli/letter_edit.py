"""`eventbus dead-letters edit`."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eventbus.cli.letter_rows import letter_summary
from eventbus.cli.output import print_json, print_line
from eventbus.cli.target import AppOption, JsonOption, load_application, open_database
from eventbus.errors import InvalidConfiguration

if TYPE_CHECKING:
    from eventbus.database import DeadLetter
    from eventbus.serialization import MessageTypes


def edit(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")],
    value: Annotated[
        str | None,
        typer.Option("--value", metavar="FILE", help="The new value, - for standard input; without it $EDITOR opens."),
    ] = None,
    app: AppOption = None,
    json: JsonOption = False,
) -> None:
    """
    Give a dead letter another value, and nothing else: `retry` then has it handled.

    The value is checked against the event's class, in the version that the letter has, and is not stored when it does
    not fit. The record in the log stays as it is.
    """
    import anyio

    from eventbus.clock import SystemClock
    from eventbus.database import DeadLetters

    types = load_application(app).model.types

    async def work() -> None:
        async with open_database(app, None, None) as opened:
            async with opened.reading() as connection:
                letter = await DeadLetters().show(connection, letter_id)
            if letter is None:
                raise InvalidConfiguration(f"There is no dead letter {letter_id} in {opened.name}.")
            given = _edited(letter, types) if value is None else _stored(_read(value))
            if value is not None:
                _check(letter, given, types)
            if given == letter.value:
                print_line("nothing has changed")
                return
            async with opened.transaction() as connection:
                is_stored = await DeadLetters().edit(
                    connection, letter_id, given, expected=letter.value, now=SystemClock().now()
                )
                changed = await DeadLetters().show(connection, letter_id)
        if not is_stored or changed is None:
            raise InvalidConfiguration(f"Dead letter {letter_id} was handled, or changed, in the meantime: look again.")
        if json:
            print_json(letter_summary(changed, None) | {"value": given.decode()})
        else:
            print_line(f"{letter_id} has a new value; `eventbus dead-letters retry {letter_id}` has it handled")

    anyio.run(work)


def _read(value: str) -> bytes:
    if value == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(value).read_bytes()
    except OSError as error:
        raise InvalidConfiguration(f"--value {value}: {error.strerror}.") from None


def _edited(letter: "DeadLetter", types: "MessageTypes") -> bytes:
    """What the user's editor leaves. Raises InvalidConfiguration, with the file's place, when that does not fit."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise InvalidConfiguration("Set EDITOR, or give the new value by --value FILE.")
    before = _pretty(letter.value or b"")
    with tempfile.NamedTemporaryFile(suffix=".json", prefix="dead-letter-", delete=False) as file:
        file.write(before)
    path = Path(file.name)
    if subprocess.run([*shlex.split(editor), str(path)], check=False).returncode:
        raise InvalidConfiguration(f"{editor} has failed; nothing is changed, the text is in {path}.")
    after = path.read_bytes()
    if after == before:
        path.unlink()
        return letter.value or b""
    given = _stored(after)
    try:
        _check(letter, given, types)
    except InvalidConfiguration as error:
        raise InvalidConfiguration(f"{error} What you wrote is in {path}: mend it and give it by --value.") from None
    path.unlink()
    return given


def _check(letter: "DeadLetter", value: bytes, types: "MessageTypes") -> None:
    """Raises InvalidConfiguration unless the letter can be decoded with this value."""
    from eventbus.errors import UndecodableMessage
    from eventbus.messages import Envelope
    from eventbus.transport.port import time_of

    try:
        envelope = Envelope.from_headers(letter.headers, time=time_of(letter.timestamp_ms or 0))
        if types.decode(envelope, value) is None:
            raise InvalidConfiguration(f"{envelope.type} is no event of this application: nothing is changed.")
    except UndecodableMessage as error:
        raise InvalidConfiguration(f"Nothing is changed: {error}.") from None


def _pretty(value: bytes) -> bytes:
    import json

    try:
        return json.dumps(json.loads(value), indent=2, ensure_ascii=False).encode() + b"\n"
    except ValueError:
        return value


def _stored(value: bytes) -> bytes:
    """JSON without the line end that editors leave; other bytes as they are."""
    from pydantic_core import from_json

    try:
        from_json(value)
    except ValueError:
        return value
    return value.strip()
