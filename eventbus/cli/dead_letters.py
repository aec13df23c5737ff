"""`eventbus dead-letters`: records that kept failing, or could not be decoded."""

import base64
from typing import TYPE_CHECKING, Annotated

import typer

from eventbus.cli.output import JsonValue, print_json, print_line, print_table, time_text
from eventbus.cli.target import AppOption, DatabaseOption, JsonOption, ServiceOption, open_database

if TYPE_CHECKING:
    from eventbus.database import DeadLetter

app = typer.Typer(
    help="Events that kept failing, or could not be decoded.", no_args_is_help=True, rich_markup_mode=None
)

_ERROR_CHARACTERS_MAX = 80


@app.command("list", epilog="Example: eventbus dead-letters list --service order-service --consumer order_summaries")
def list_letters(
    consumer: Annotated[str | None, typer.Option(help="A service's handlers, or a projection.")] = None,
    topic: Annotated[str | None, typer.Option(help="The topic that they came from.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The latest so many.")] = 100,
    app: AppOption = None,
    database: DatabaseOption = None,
    service: ServiceOption = None,
    json: JsonOption = False,
) -> None:
    """List dead letters, the latest first."""
    import anyio

    from eventbus.database import DeadLetters

    async def work() -> None:
        async with open_database(app, database, service) as opened, opened.reading() as connection:
            letters = await DeadLetters().list(connection, consumer=consumer, topic=topic, limit=limit)
        if json:
            print_json([_summary(letter) for letter in letters])
            return
        rows: list[dict[str, JsonValue]] = [
            {
                "id": letter.id,
                "consumer": letter.consumer,
                "place": f"{letter.topic}-{letter.partition}@{letter.offset}",
                "type": letter.type,
                "error": f"{letter.error_class}: {letter.error_message}"[:_ERROR_CHARACTERS_MAX],
                "failed_at": time_text(letter.failed_at),
            }
            for letter in letters
        ]
        print_table(rows, empty="no dead letters")

    anyio.run(work)


@app.command(epilog="Example: eventbus dead-letters show 0197c9f2-… --service order-service --json")
def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")],
    app: AppOption = None,
    database: DatabaseOption = None,
    service: ServiceOption = None,
    json: JsonOption = False,
) -> None:
    """Show one dead letter: where it came from, its bytes and headers, the error with its traceback."""
    import anyio

    from eventbus.database import DeadLetters
    from eventbus.errors import InvalidConfiguration

    async def work() -> None:
        async with open_database(app, database, service) as opened, opened.reading() as connection:
            letter = await DeadLetters().show(connection, letter_id)
        if letter is None:
            raise InvalidConfiguration(f"There is no dead letter {letter_id} in {opened.name}.")
        shown = _summary(letter) | {
            "handler": letter.handler,
            "key": _bytes(letter.key),
            "value": _bytes(letter.value),
            "headers": [[name, _bytes(value)] for name, value in letter.headers],
            "error_stack": letter.error_stack,
        }
        if json:
            print_json(shown)
            return
        for name, value in shown.items():
            if name not in ("headers", "error_stack"):
                print_line(f"{name.replace('_', ' '):14} {'-' if value is None else value}")
        for header, content in letter.headers:
            print_line(f"{'header':14} {header}: {_bytes(content)}")
        print_line(f"\n{letter.error_stack}")

    anyio.run(work)


def _summary(letter: "DeadLetter") -> dict[str, JsonValue]:
    return {
        "id": letter.id,
        "consumer": letter.consumer,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "message_id": letter.message_id,
        "type": letter.type,
        "error_class": letter.error_class,
        "error_message": letter.error_message,
        "attempts": letter.attempts,
        "failed_at": time_text(letter.failed_at),
    }


def _bytes(value: bytes | None) -> str | None:
    """Text as it is; other bytes as `base64:…`."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"base64:{base64.b64encode(value).decode()}"
