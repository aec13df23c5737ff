"""`eventbus projections`: read models and their generations."""

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from eventbus.cli.output import JsonValue, print_json, print_line, print_table, time_text
from eventbus.cli.projection_status import show_status
from eventbus.cli.rebuild import RebuildOptions, rebuild_projection, roll_back_projection
from eventbus.cli.target import AppOption, DatabaseOption, JsonOption, ServiceOption, load_application, open_database

if TYPE_CHECKING:
    from eventbus.database import Database

app = typer.Typer(help="Read models and their generations.", no_args_is_help=True, rich_markup_mode=None)

NameArgument: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="As `list` shows it.")]
SkipOption: TypeAlias = Annotated[
    bool, typer.Option("--skip-dead-letters", help="Pass over what the live view has among its dead letters.")
]


@app.command("list", epilog="Example: eventbus projections list --app order_service.service:app")
def list_projections(
    app: AppOption = None, database: DatabaseOption = None, service: ServiceOption = None, json: JsonOption = False
) -> None:
    """
    List every generation: its version, whether it is live, being built or kept, and how far it has come.

    `offset` is the sum over the partitions of the next offset to apply. With --app, projections that have not been
    started yet are listed, too, and a version in the code that is not the live one is told.
    """
    import anyio

    async def work() -> None:
        async with open_database(app, database, service) as opened:
            rows = await _generations(opened)
        if app is not None:
            rows = _beside_code(rows, app)
        if json:
            print_json(rows)
        else:
            print_table(rows, empty="no projections have been started here")

    anyio.run(work)


@app.command(epilog="Example: eventbus projections status order_summaries --app order_service.service:app")
def status(
    projection: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One of them; all without it.")] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0, max=60, help="How long to watch, for the rate; 0: no rate.")
    ] = 1.0,
    app: AppOption = None,
    database: DatabaseOption = None,
    service: ServiceOption = None,
    json: JsonOption = False,
) -> None:
    """
    Show how far each view has come: by partition its position, the log's end, the lag between them, and the rate.

    Positions are where the next record is read, behind the markers of transactions: a view that has seen everything
    has lag 0. The log's end is known with --app only. Says who has paused a view, and since when.
    """
    import anyio

    anyio.run(show_status, projection, app, database, service, seconds, json)


@app.command(epilog="Example: eventbus projections rebuild order_summaries --app order_service.service:app")
def rebuild(
    projection: NameArgument,
    no_switch: Annotated[
        bool, typer.Option("--no-switch", help="Build it, and leave the live one live; `switch` does the rest.")
    ] = False,
    from_store: Annotated[
        bool,
        typer.Option("--from-store", help="Read the service's own event store first, then the log from where it ends."),
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Throw an unfinished build away.")] = False,
    skip_dead_letters: SkipOption = False,
    app: AppOption = None,
    json: JsonOption = False,
) -> None:
    """
    Build a projection anew from the log, beside the live one, and switch when both agree.

    Services may run meanwhile. An interrupted rebuild goes on where it was. The generation before is kept. The first
    event that fails, or rows that differ, end it with exit code 1, and the live view is as it was. --from-store is for
    a log whose beginning is gone; the projection may then take events of this service's own aggregates only.
    """
    import anyio

    options: RebuildOptions = {
        "switch": not no_switch,
        "from_store": from_store,
        "restart": restart,
        "skip_dead_letters": skip_dead_letters,
    }
    anyio.run(rebuild_projection, load_application(app), projection, options, json)


@app.command(epilog="Example: eventbus projections switch order_summaries --app order_service.service:app")
def switch(
    projection: NameArgument, skip_dead_letters: SkipOption = False, app: AppOption = None, json: JsonOption = False
) -> None:
    """
    Make the generation live that `rebuild --no-switch` has built, after what has come since was applied to it, too.

    The rows are compared first, as at the end of a rebuild.
    """
    import anyio

    options: RebuildOptions = {"built_only": True, "skip_dead_letters": skip_dead_letters}
    anyio.run(rebuild_projection, load_application(app), projection, options, json)


@app.command(epilog="Example: eventbus projections rollback order_summaries --app order_service.service:app")
def rollback(
    projection: NameArgument,
    generation: Annotated[
        int | None, typer.Option("--generation", help="Which one; the one that was live last without it.")
    ] = None,
    behind: Annotated[
        bool, typer.Option("--behind", help="Make it live as it is; its release applies what it has missed.")
    ] = False,
    app: AppOption = None,
    json: JsonOption = False,
) -> None:
    """
    Go back to a generation that was live before, and was kept.

    It first applies what it has missed, up to exactly where the live one is. Code of another version cannot do that,
    and says how much is missing: run it with the release that made the generation, or give --behind.
    """
    import anyio

    anyio.run(roll_back_projection, load_application(app), projection, generation, behind, json)


@app.command(epilog="Example: eventbus projections drop order_summaries 1 --service order-service --yes")
def drop(
    projection: NameArgument,
    generation: Annotated[int, typer.Argument(metavar="GENERATION", help="As `list` shows it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this it only shows what would be done.")] = False,
    app: AppOption = None,
    database: DatabaseOption = None,
    service: ServiceOption = None,
    json: JsonOption = False,
) -> None:
    """Drop the tables of a generation that is not live: nobody can go back to it any more."""
    import anyio

    async def work() -> None:
        from eventbus.clock import SystemClock
        from eventbus.projections import ProjectionAdministration

        async with open_database(app, database, service) as opened:
            names = await ProjectionAdministration(opened, SystemClock()).drop(
                projection, generation, only_look=not yes
            )
        if json:
            print_json({"projection": projection, "generation": generation, "tables": names, "dropped": yes})
            return
        done = "dropped" if yes else "would be dropped; add --yes to do it"
        print_line(f"{projection} generation {generation}, {', '.join(names) or 'no tables'}: {done}")

    anyio.run(work)


@app.command(epilog="Example: eventbus projections pause order_summaries --service order-service")
def pause(
    projection: NameArgument,
    app: AppOption = None,
    database: DatabaseOption = None,
    service: ServiceOption = None,
    json: JsonOption = False,
) -> None:
    """
    Stop keeping a view up to date, in every process of the service and over restarts, until `resume`.

    When this returns, nothing more is applied. The view goes on answering, with what it has; an instance stays ready.
    """
    import anyio

    async def work() -> None:
        import getpass
        import socket

        from eventbus.clock import SystemClock
        from eventbus.projections import ProjectionAdministration

        async with open_database(app, database, service) as opened:
            by = f"{getpass.getuser()}@{socket.gethostname()}"
            before = await ProjectionAdministration(opened, SystemClock()).pause(projection, by=by)
        if json:
            by = by if before is None else before.paused_by
            print_json({"projection": projection, "paused": True, "paused_by": by, "changed": before is None})
        elif before is None:
            print_line(f"{projection} is paused; eventbus projections resume {projection} lets it go on")
        else:
            print_line(f"{projection} was paused already, at {time_text(before.paused_at)} by {before.paused_by}")

    anyio.run(work)


@app.command(epilog="Example: eventbus projections resume order_summaries --service order-service")
def resume(
    projection: NameArgument,
    app: AppOption = None,
    database: DatabaseOption = None,
    service: ServiceOption = None,
    json: JsonOption = False,
) -> None:
    """Let a paused view go on from where it stands; running services notice within a second."""
    import anyio

    async def work() -> None:
        from eventbus.clock import SystemClock
        from eventbus.projections import ProjectionAdministration

        async with open_database(app, database, service) as opened:
            changed = await ProjectionAdministration(opened, SystemClock()).resume(projection)
        if json:
            print_json({"projection": projection, "paused": False, "changed": changed})
        else:
            print_line(f"{projection} goes on" if changed else f"{projection} was not paused")

    anyio.run(work)


async def _generations(database: "Database") -> list[dict[str, JsonValue]]:
    from eventbus.clock import SystemClock
    from eventbus.database import Checkpoints
    from eventbus.projections import Generations, Pauses

    rows: list[dict[str, JsonValue]] = []
    async with database.reading() as connection:
        pauses = await Pauses().every(connection)
        for found in await Generations(SystemClock()).every(connection):
            checkpoints = await Checkpoints().read(connection, found.projection, found.generation)
            pause = pauses.get(found.projection) if found.state == "live" else None
            rows.append(
                {
                    "projection": found.projection,
                    "generation": found.generation,
                    "version": found.version,
                    "state": found.state,
                    "offset": sum(checkpoint.next_offset or 0 for checkpoint in checkpoints),
                    "created_at": time_text(found.created_at),
                    "switched_at": time_text(found.switched_at),
                    "note": f"paused by {pause.paused_by}"
                    if pause is not None
                    else f"held by {found.holder}"
                    if found.holder
                    else None,
                }
            )
    return rows


def _beside_code(rows: list[dict[str, JsonValue]], app: str) -> list[dict[str, JsonValue]]:
    known = {str(row["projection"]) for row in rows}
    live = {str(row["projection"]): row for row in rows if row["state"] == "live"}
    for projection in load_application(app).projections:
        name, version = projection.projection_name, projection.projection_version
        if name not in known:
            nothing: dict[str, JsonValue] = dict.fromkeys(("generation", "offset", "created_at", "switched_at", "note"))
            rows.append({"projection": name} | nothing | {"version": version, "state": "not started"})
        elif name in live and live[name]["version"] != version:
            live[name]["note"] = f"the code is version {version}: rebuild"
    return rows
