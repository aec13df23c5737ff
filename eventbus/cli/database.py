"""`eventbus database`: the schema of the framework's tables."""

import typer

from eventbus.cli.output import print_json, print_line
from eventbus.cli.target import AppOption, DatabaseOption, JsonOption, ServiceOption, open_database

app = typer.Typer(help="The framework's tables in a service's database.", no_args_is_help=True, rich_markup_mode=None)


@app.command(epilog="Example: eventbus database upgrade --database postgresql://localhost/orders")
def upgrade(
    app: AppOption = None, database: DatabaseOption = None, service: ServiceOption = None, json: JsonOption = False
) -> None:
    """
    Bring the tables to what this version needs; a database that has none gets them.

    Stop the service's processes first: they would work on tables that are not theirs any more. Safe beside other
    upgrades. A service never changes an existing schema by itself.
    """
    import anyio

    from eventbus.database import Migrations

    async def work() -> None:
        async with open_database(app, database, service, make=True) as opened:
            applied = await Migrations(opened).upgrade()
            revision = await Migrations(opened).current()
        if json:
            print_json({"database": opened.name, "revision": revision, "applied": applied})
        elif applied:
            print_line(f"{opened.name}: applied {', '.join(applied)}, is at {revision}")
        else:
            print_line(f"{opened.name}: is at {revision}, nothing to do")

    anyio.run(work)


@app.command(epilog="Example: eventbus database current --service order-service")
def current(
    app: AppOption = None, database: DatabaseOption = None, service: ServiceOption = None, json: JsonOption = False
) -> None:
    """Show the revision of the tables, and whether it is the one that this version needs."""
    import anyio

    from eventbus.database import Migrations
    from eventbus.errors import SchemaOutdated

    async def work() -> None:
        problem: str | None = None
        async with open_database(app, database, service, make=True) as opened:
            revision = await Migrations(opened).current()
            try:
                await Migrations(opened).check()
            except SchemaOutdated as outdated:
                problem = str(outdated)
        if json:
            print_json(
                {"database": opened.name, "revision": revision, "is_current": problem is None, "problem": problem}
            )
        else:
            print_line(f"{opened.name}: {revision or 'no tables'}" + (f"; {problem}" if problem else ", up to date"))

    anyio.run(work)


@app.command(epilog="Example: eventbus database sql --database postgresql://localhost/orders > upgrade.sql")
def sql(
    app: AppOption = None, database: DatabaseOption = None, service: ServiceOption = None, json: JsonOption = False
) -> None:
    """
    Print what `upgrade` would run, as one transaction in SQL: for review, or for whoever alone may change a schema.

    Reads the revision that the database is at, and changes nothing. Stop the service's processes before you run it.
    """
    import anyio

    from eventbus.database import Migrations

    async def work() -> None:
        async with open_database(app, database, service, make=True) as opened:
            revision = await Migrations(opened).current()
            script = await Migrations(opened).script()
        if json:
            print_json({"database": opened.name, "revision": revision, "sql": script})
        else:
            print_line(script.rstrip() or f"-- {opened.name}: is at {revision}, nothing to do")

    anyio.run(work)
