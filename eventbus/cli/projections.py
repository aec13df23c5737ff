"""`eventbus projections`: read models and their generations."""

from typing import TYPE_CHECKING, Annotated

import typer

from eventbus.cli.output import JsonValue, print_json, print_table, time_text
from eventbus.cli.rebuild import rebuild_projection
from eventbus.cli.target import AppOption, DatabaseOption, JsonOption, ServiceOption, load_application, open_database

if TYPE_CHECKING:
    from eventbus.database import Database

app = typer.Typer(help="Read models and their generations.", no_args_is_help=True, rich_markup_mode=None)


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


@app.command(epilog="Example: eventbus projections rebuild order_summaries --app order_service.service:app")
def rebuild(
    projection: Annotated[str, typer.Argument(metavar="NAME", help="As `list` shows it.")],
    restart: Annotated[bool, typer.Option("--restart", help="Throw an unfinished build away.")] = False,
    skip_dead_letters: Annotated[
        bool, typer.Option("--skip-dead-letters", help="Pass over what the live view has among its dead letters.")
    ] = False,
    app: AppOption = None,
    json: JsonOption = False,
) -> None:
    """
    Build a projection anew from the log, beside the live one, and switch when both agree.

    Services may run meanwhile. An interrupted rebuild goes on where it was. The generation before is kept. The first
    event that fails, or rows that differ, end it with exit code 1, and the live view is as it was.
    """
    import anyio

    anyio.run(rebuild_projection, load_application(app), projection, restart, skip_dead_letters, json)


async def _generations(database: "Database") -> list[dict[str, JsonValue]]:
    from eventbus.clock import SystemClock
    from eventbus.database import Checkpoints
    from eventbus.projections import Generations

    rows: list[dict[str, JsonValue]] = []
    async with database.reading() as connection:
        for found in await Generations(SystemClock()).every(connection):
            checkpoints = await Checkpoints().read(connection, found.projection, found.generation)
            rows.append(
                {
                    "projection": found.projection,
                    "generation": found.generation,
                    "version": found.version,
                    "state": found.state,
                    "offset": sum(checkpoint.next_offset or 0 for checkpoint in checkpoints),
                    "created_at": time_text(found.created_at),
                    "switched_at": time_text(found.switched_at),
                    "note": f"held by {found.holder}" if found.holder else None,
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
