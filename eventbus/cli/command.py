"""
The commands of `eventbus`.

Exit codes    0 done; 1 it could not be done now (the text says why); 2 something in the arguments, the settings or the
              application has to be mended first; always one sentence on standard error, never a traceback for those
Imports       typer and nothing else up here: what a command needs is imported when it runs, so that --help is quick
"""

import sys
from typing import Annotated, Final

import typer

from eventbus.cli import consumers, database, dead_letters, messages, migrate, outbox, projections, run, topics
from eventbus.errors import DefinitionError, EventBusError, InvalidConfiguration, SchemaOutdated

FAILED: Final = 1
REFUSED: Final = 2

_HELP = """
Looks after services that are built with eventbus.

A command finds its service by --app module:attribute (or EVENTBUS_APP), where that attribute is the
eventbus.Application; those that need only the database also by --database URL (or EVENTBUS_DATABASE_URL) or --service
NAME. Settings come from the environment, as the service's own do.
"""

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"eventbus {version('eventbus-msa')}")
        raise typer.Exit


@app.callback(help=_HELP)
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """The options of `eventbus` itself."""


app.command("run", epilog=run.EXAMPLE)(run.run)
app.command("migrate", epilog=migrate.EXAMPLE)(migrate.migrate)
app.add_typer(projections.app, name="projections")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(consumers.app, name="consumers")
app.add_typer(outbox.app, name="outbox")
app.add_typer(topics.app, name="topics")
app.add_typer(messages.app, name="messages")
app.add_typer(database.app, name="database")


def main() -> None:
    """Runs the command line; raises SystemExit with the exit code."""
    try:
        app(prog_name="eventbus")
    except (InvalidConfiguration, DefinitionError, SchemaOutdated) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(REFUSED) from None
    except EventBusError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(FAILED) from None
