"""
What a command works on: an application, or just a service's database.
"""

import importlib
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from eventbus.errors import InvalidConfiguration

if TYPE_CHECKING:
    from eventbus.application import Application
    from eventbus.database import Database

AppOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--app", envvar="EVENTBUS_APP", metavar="MODULE:ATTRIBUTE", help="The service's eventbus.Application."
    ),
]
DatabaseOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--database", envvar="EVENTBUS_DATABASE_URL", metavar="URL", help="The service's database."),
]
ServiceOption: TypeAlias = Annotated[
    str | None, typer.Option("--service", metavar="NAME", help="The service, whose database is where it is by default.")
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]


def load_application(reference: str | None) -> "Application":
    """
    The application that `module:attribute` names, imported from the working directory or the installed packages.

    Raises InvalidConfiguration, with the part of the reference that is wrong; whatever the module raises.
    """
    from eventbus.application import Application

    if reference is None:
        raise InvalidConfiguration("Say which application: --app module:attribute, or EVENTBUS_APP.")
    module_name, colon, attribute = reference.partition(":")
    if not (module_name and colon and attribute):
        raise InvalidConfiguration(f"{reference} is not module:attribute, such as order_service.service:app.")
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            raise InvalidConfiguration(
                f"{reference}: there is no module {error.name}, neither in {directory} nor installed."
            ) from None
        raise
    if not hasattr(module, attribute):
        raise InvalidConfiguration(f"{reference}: there is no {attribute} in {module_name}{_hint(module)}")
    found: object = getattr(module, attribute)
    if not isinstance(found, Application):
        raise InvalidConfiguration(
            f"{reference}: {attribute} is {type(found).__name__}, not an eventbus.Application{_hint(module)}"
        )
    return found


def _hint(module: ModuleType) -> str:
    """The applications that are there, after a wrong name."""
    from eventbus.application import Application

    names = [name for name, value in vars(module).items() if isinstance(value, Application)]
    return f": is {' or '.join(f'{module.__name__}:{name}' for name in names)} meant?" if names else "."


@asynccontextmanager
async def open_database(
    app: str | None, database: str | None, service: str | None, *, make: bool = False
) -> "AsyncGenerator[Database]":
    """
    The database that the options name, with the schema that this version needs; with *make* it may be new or old.

    Raises InvalidConfiguration, SchemaOutdated.
    """
    import anyio

    from eventbus.config import load_settings
    from eventbus.database import Database, Migrations

    if database is not None:
        opened = Database.from_url(database)
    elif app is not None:
        opened = load_application(app).database
    elif service is not None:
        opened = Database.from_url(load_settings(service).effective_database_url)
    else:
        raise InvalidConfiguration(
            "Say which database: --app module:attribute, --database URL, --service NAME, or their environment "
            "variables EVENTBUS_APP and EVENTBUS_DATABASE_URL."
        )
    try:
        if not make:
            if opened.name.startswith("memory:"):
                raise InvalidConfiguration(
                    f"{opened.name} is a database in the memory of one process, which no command can see: ask that "
                    "process (Application.status), or give the service a file, --database sqlite:///FILE."
                )
            if opened.dialect == "sqlite" and not await anyio.Path(opened.name).exists():
                raise InvalidConfiguration(
                    f"There is no database at {opened.name}: start the service once, it makes it."
                )
            await Migrations(opened).check()
        yield opened
    finally:
        await opened.aclose()
