"""
The address of a database: `EVENTBUS_DATABASE_URL`. It names the database; the driver is the framework's choice.

    sqlite:////var/lib/shop/orders.sqlite3                      a file; with three slashes relative to where we are
    postgresql://user:password@host:5432/name?sslmode=require   also `postgres://`
    memory:                                                     a new one in this process' memory; also `sqlite:///:memory:`
    memory:NAME                                                 the one that all of this process share who say NAME
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy
from sqlalchemy.exc import ArgumentError

from eventbus.errors import InvalidConfiguration

VARIABLE: Final = "EVENTBUS_DATABASE_URL"
_FORMS: Final = "use sqlite:///FILE or postgresql://USER:PASSWORD@HOST:PORT/NAME (memory: for tests)"
_MEMORY: Final = "memory:"
_SQLITES_MEMORY: Final = frozenset({"sqlite://", "sqlite:///:memory:"})
_POSTGRESQL_SCHEMES: Final = frozenset({"postgresql", "postgres"})
_SSL_MODES: Final = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """A SQLite database in a file; the path is absolute."""

    path: Path


@dataclass(frozen=True, slots=True)
class SqliteMemory:
    """A SQLite database in this process' memory, of whoever opens it, or of all who say its *name*."""

    name: str | None


@dataclass(frozen=True, slots=True)
class PostgresqlServer:
    """A PostgreSQL database: the URL with the driver in it, the driver's arguments, the session's settings."""

    url: sqlalchemy.URL
    arguments: Mapping[str, object]
    settings: Mapping[str, str]


def parse_database_url(url: str) -> SqliteFile | SqliteMemory | PostgresqlServer:
    """The database that *url* names. Raises InvalidConfiguration; the text never has the password in it."""
    if url.startswith(_MEMORY) or url in _SQLITES_MEMORY:
        return SqliteMemory(url.removeprefix(_MEMORY) or None if url.startswith(_MEMORY) else None)
    try:
        parsed = sqlalchemy.make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidConfiguration(f"{VARIABLE} is no database address: {_FORMS}") from None
    if "+" in parsed.drivername:
        name = parsed.drivername.split("+", 1)[0]
        raise InvalidConfiguration(
            f"{VARIABLE} names a driver ({parsed.drivername}): the framework picks it, write {name}://…"
        )
    if parsed.drivername == "sqlite":
        return _sqlite(parsed)
    if parsed.drivername in _POSTGRESQL_SCHEMES:
        return _postgresql(parsed)
    raise InvalidConfiguration(f"{VARIABLE} names {parsed.drivername!r}, which is not supported: {_FORMS}")


def _sqlite(url: sqlalchemy.URL) -> SqliteFile:
    if url.host:
        raise InvalidConfiguration(
            f"{VARIABLE} has {url.host!r} where SQLite has no host: write three slashes, sqlite:///FILE"
        )
    if url.query:
        raise InvalidConfiguration(f"{VARIABLE} has options ({', '.join(url.query)}): sqlite:///FILE takes none")
    if not url.database or url.database.startswith("file:"):
        raise InvalidConfiguration(f"{VARIABLE} names no file: write sqlite:///FILE, or memory: for one in memory")
    return SqliteFile(Path(url.database).expanduser().absolute())


def _postgresql(url: sqlalchemy.URL) -> PostgresqlServer:
    if not url.database:
        raise InvalidConfiguration(f"{VARIABLE} names no database: {_FORMS}")
    arguments: dict[str, object] = {}
    settings: dict[str, str] = {}
    for name, value in url.query.items():
        match name:
            case "host":
                # A directory with a Unix socket in it, as libpq writes it; the dialect knows this one itself.
                continue
            case "sslmode":
                if value not in _SSL_MODES:
                    raise InvalidConfiguration(
                        f"{VARIABLE} has sslmode={value}: it is one of {', '.join(sorted(_SSL_MODES))}"
                    )
                arguments["ssl"] = value
            case "connect_timeout":
                if not isinstance(value, str) or not value.isdecimal():
                    raise InvalidConfiguration(f"{VARIABLE} has connect_timeout={value}: it is a number of seconds")
                arguments["timeout"] = float(value)
            case "application_name":
                settings["application_name"] = str(value)
            case _:
                raise InvalidConfiguration(
                    f"{VARIABLE} has the option {name!r}, which is not known: "
                    "application_name, connect_timeout, host and sslmode are"
                )
    query = {name: value for name, value in url.query.items() if name == "host"}
    return PostgresqlServer(url.set(drivername="postgresql+asyncpg", query=query), arguments, settings)
