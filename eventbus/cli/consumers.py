"""`eventbus consumers`: where a service's consumers are in the log, and another place for them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from eventbus.cli.output import JsonValue, print_json, print_line, print_table, time_text
from eventbus.cli.target import AppOption, DatabaseOption, JsonOption, ServiceOption, load_application, open_database

if TYPE_CHECKING:
    from eventbus.delivery.seeking import Seek, Seeking

app = typer.Typer(help="Where a service's consumers are in the log.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list", epilog="Example: eventbus consumers list --service order-service")
def list_consumers(
    app: AppOption = None, database: DatabaseOption = None, service: ServiceOption = None, json: JsonOption = False
) -> None:
    """
    List the checkpoints of handlers and projections: the next offset of each partition.

    `expired before`: the inbox has forgotten what was handled before that time, so seeking behind it repeats effects.
    """
    import anyio

    from eventbus.database import Checkpoints, InboxHorizons

    async def work() -> None:
        async with open_database(app, database, service) as opened, opened.reading() as connection:
            found = await Checkpoints().list(connection)
            horizons = await InboxHorizons().list(connection)
        rows: list[dict[str, JsonValue]] = [
            {
                "consumer": one.consumer,
                "generation": one.generation,
                "topic": one.log.topic,
                "partition": one.log.partition,
                "next_offset": one.next_offset,
                "epoch": one.epoch,
                "expired_before": time_text(horizons.get(one.consumer.partition(".retry.")[0])),
            }
            for one in found
        ]
        if json:
            print_json(rows)
        else:
            print_table(rows, empty="no consumer has claimed a partition yet")

    anyio.run(work)


@app.command(
    epilog="Example: eventbus consumers seek --consumer order-service --topic payments --to-time 2026-01-02T03:04:05Z "
    "--app order_service.service:app --execute"
)
def seek(
    consumer: Annotated[
        str, typer.Option("--consumer", metavar="NAME", help="As `list` shows it: the service's name.")
    ],
    topic: Annotated[str, typer.Option("--topic", metavar="TOPIC")],
    partition: Annotated[int | None, typer.Option("--partition", min=0, help="This one only; all by default.")] = None,
    offset: Annotated[int | None, typer.Option("--offset", min=0, help="To this offset of the partition.")] = None,
    to_beginning: Annotated[bool, typer.Option("--to-beginning", help="To the first record that the log has.")] = False,
    to_time: Annotated[
        datetime | None,
        typer.Option(
            "--to-time",
            formats=["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"],
            help="To the first record since that time (UTC unless it says otherwise).",
        ),
    ] = None,
    execute: Annotated[
        bool, typer.Option("--execute", help="Do it; without this it only shows what would be done.")
    ] = False,
    repeat_effects: Annotated[
        bool, typer.Option("--repeat-effects", help="Even where the inbox has forgotten what was handled.")
    ] = False,
    app: AppOption = None,
    service: ServiceOption = None,
    json: JsonOption = False,
) -> None:
    """
    Move a service's handlers to another place in the log.

    Back: records come again, and the inbox drops those that it remembers as handled, so what is missing is made up for
    and nothing happens twice. What was handled too long ago it has forgotten; there --repeat-effects is needed. On:
    records are passed over. A running service goes on from the new place within seconds. Projections are rebuilt
    instead.
    """
    import anyio

    from eventbus.delivery.seeking import Place, refusal
    from eventbus.errors import InvalidConfiguration

    if [offset is not None, to_beginning, to_time is not None].count(True) != 1:
        raise InvalidConfiguration("Say where to: one of --offset N, --to-beginning, --to-time TIME.")
    if offset is not None and partition is None:
        raise InvalidConfiguration("An offset is one partition's: add --partition.")
    if to_time is not None and to_time.tzinfo is None:
        to_time = to_time.replace(tzinfo=UTC)
    place: Place = Place(offset=offset, time=to_time)

    async def work() -> None:
        async with _seeking(app, service) as seeking:
            seeks = await seeking.plan(consumer, topic, partition, place)
            if execute:
                await seeking.execute(seeks, repeat_effects=repeat_effects)
        if json:
            print_json({"executed": execute, "seeks": [_seek(one) for one in seeks]})
            return
        print_table([_seek(one) for one in seeks], empty="nothing to move")
        for one in seeks:
            if not execute and not repeat_effects and one.forgotten is not None:
                print_line(refusal(one, *one.forgotten))
        print_line("done" if execute else "nothing was changed; add --execute to do it")

    anyio.run(work)


@asynccontextmanager
async def _seeking(app: str | None, service: str | None) -> "AsyncGenerator[Seeking]":
    from eventbus.application.connection import connected, log_of
    from eventbus.config import LogInMemory, load_settings
    from eventbus.delivery.seeking import Seeking
    from eventbus.errors import InvalidConfiguration

    if app is not None:
        application = load_application(app)
        name, settings, url = application.name, application.settings, None
        log = application.connected()
    elif service is not None:
        name, settings = service, load_settings(service)
        url = settings.effective_database_url
        log = connected(name, log_of(settings), settings)
    else:
        raise InvalidConfiguration("Say which service: --app module:attribute, --service NAME, or EVENTBUS_APP.")
    if isinstance(settings.broker, LogInMemory):
        raise InvalidConfiguration("A log in memory is its process's: no command can read it.")
    async with open_database(app, url, service) as database, log as connection:
        yield Seeking(name, database, connection.transport)


def _seek(seek: "Seek") -> dict[str, JsonValue]:
    forgotten = seek.forgotten
    return {
        "consumer": seek.checkpoint.consumer,
        "topic": seek.checkpoint.log.topic,
        "partition": seek.checkpoint.log.partition,
        "from": seek.checkpoint.next_offset,
        "to": seek.next_offset,
        "log_start": seek.offsets.start,
        "log_end": seek.offsets.end,
        "expired_before": time_text(seek.horizon),
        "first_forgotten": None if forgotten is None else forgotten[0],
    }
