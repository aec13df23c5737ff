"""`eventbus dead-letters`: records that kept failing, or could not be decoded."""

from typing import Annotated

import typer

from eventbus.cli.letter_actions import discard, retry
from eventbus.cli.letter_edit import edit
from eventbus.cli.letter_rows import bytes_text, letter_summary, print_letters
from eventbus.cli.letter_selection import (
    AfterOption,
    BeforeOption,
    ConsumerOption,
    ErrorOption,
    HandlerOption,
    KeyOption,
    TopicOption,
    TypeOption,
    letter_filter,
)
from eventbus.cli.output import print_json, print_line
from eventbus.cli.target import AppOption, DatabaseOption, JsonOption, ServiceOption, open_database

app = typer.Typer(
    help="Events that kept failing, or could not be decoded.", no_args_is_help=True, rich_markup_mode=None
)
app.command(epilog="Example: eventbus dead-letters retry --key o-1 --service order-service")(retry)
app.command(epilog='Example: eventbus dead-letters discard --error "no such order" --service order-service --yes')(
    discard
)
app.command(epilog="Example: eventbus dead-letters edit 0197c9f2-… --app order_service.service:app")(edit)


@app.command("list", epilog="Example: eventbus dead-letters list --service order-service --handler handlers.mark_paid")
def list_letters(
    consumer: ConsumerOption = None,
    handler: HandlerOption = None,
    event_type: TypeOption = None,
    topic: TopicOption = None,
    key: KeyOption = None,
    error: ErrorOption = None,
    before: BeforeOption = None,
    after: AfterOption = None,
    limit: Annotated[int, typer.Option(min=1, help="The latest so many.")] = 100,
    app: AppOption = None,
    database: DatabaseOption = None,
    service: ServiceOption = None,
    json: JsonOption = False,
) -> None:
    """
    List dead letters, the latest first.

    `waiting` is how many later events of its key wait behind a letter, for its handler.
    """
    import anyio

    from eventbus.database import DeadLetters

    which = letter_filter(
        consumer=consumer,
        handler=handler,
        event_type=event_type,
        topic=topic,
        key=key,
        error=error,
        before=before,
        after=after,
    )

    async def work() -> None:
        async with open_database(app, database, service) as opened, opened.reading() as connection:
            letters = await DeadLetters().list(connection, which, limit=limit)
            waiting = await DeadLetters().waiting(connection, [letter.id for letter in letters])
        if json:
            print_json([letter_summary(letter, waiting.get(letter.id)) for letter in letters])
        else:
            print_letters(letters, waiting)

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
            waiting = await DeadLetters().waiting(connection, [letter_id])
        if letter is None:
            raise InvalidConfiguration(f"There is no dead letter {letter_id} in {opened.name}.")
        shown = letter_summary(letter, waiting.get(letter_id)) | {
            "value": bytes_text(letter.value),
            "headers": [[name, bytes_text(value)] for name, value in letter.headers],
            "error_stack": letter.error_stack,
        }
        if json:
            print_json(shown)
            return
        for name, value in shown.items():
            if name not in ("headers", "error_stack"):
                print_line(f"{name.replace('_', ' '):14} {'-' if value is None else value}")
        for header, content in letter.headers:
            print_line(f"{'header':14} {header}: {bytes_text(content)}")
        print_line(f"\n{letter.error_stack}")

    anyio.run(work)
