"""
Brings a database's tables to the revision that this version of eventbus needs, and refuses to work on any other.

The first start of a service makes the tables. After that they change only by `eventbus database upgrade`, never
beside a running handler: a service that finds an older or newer schema says so and stops.
"""

from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy
from sqlalchemy import inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.engine import Database, Dialect
from eventbus.database.migrations import MOVING, REVISIONS, VERSION_TABLE
from eventbus.errors import SchemaOutdated

if TYPE_CHECKING:
    from alembic.config import Config

SQLITE_STATEMENTS: Final[list[str]] = []
"""What the migrations came to on the first SQLite database of this process, for those that follow."""

# "eventbus" in ASCII: the advisory lock that upgrading processes take on PostgreSQL.
_LOCK: Final = int.from_bytes(b"eventbus", "big")


class Migrations:
    """The schema of one database. Any number of processes may call any method at the same time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def current(self) -> str | None:
        """The database's revision; None when the framework has no tables in it."""
        async with self._database.reading() as connection:
            return await _current(connection)

    async def check(self) -> None:
        """Raises SchemaOutdated, with the way out, when the revision is not the one that this version needs."""
        _require_newest(await self.current(), self._database.name)

    async def prepare(self) -> None:
        """What a service does when it starts: make the tables in a database that has none, check them in another."""
        revision = await self.current()
        if revision is None:
            await self.upgrade()
        else:
            _require_newest(revision, self._database.name)

    async def upgrade(self) -> list[str]:
        """
        Apply what is missing in one transaction, one process at a time; the revisions that were applied. Raises
        SchemaOutdated when the database is newer than this version of eventbus.
        """
        async with self._database.transaction() as connection:
            if self._database.dialect == "postgresql":
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            revision = await _current(connection)
            if revision is not None and revision not in REVISIONS:
                _require_newest(revision, self._database.name)
            if revision is None and self._database.dialect == "sqlite":
                return await connection.run_sync(_make_on_sqlite)
            return await connection.run_sync(_upgrade)

    async def script(self) -> str:
        """
        What `upgrade` would run, as one transaction in SQL, for whoever applies schema changes by hand; empty when
        there is nothing to do. Reads the revision and changes nothing. Raises SchemaOutdated as `upgrade` does.
        """
        revision = await self.current()
        if revision == REVISIONS[-1]:
            return ""
        if revision is not None and revision not in REVISIONS:
            _require_newest(revision, self._database.name)
        return _script(self._database.dialect, revision)


async def _current(connection: AsyncConnection) -> str | None:
    if not await connection.run_sync(lambda sync: inspect(sync).has_table(VERSION_TABLE)):
        return None
    revision: str | None = await connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
    return revision


def _require_newest(revision: str | None, database: str) -> None:
    newest = REVISIONS[-1]
    if revision == newest:
        return
    if revision is None:
        raise SchemaOutdated(f"{database} has no tables of eventbus: make them with `eventbus database upgrade`")
    if revision == MOVING:
        raise SchemaOutdated(
            f"{database} is being filled by `eventbus migrate`: let it finish; run it again if it was killed"
        )
    if revision in REVISIONS:
        raise SchemaOutdated(
            f"{database} is at schema revision {revision}, this version of eventbus needs {newest}: "
            "stop the service's processes and run `eventbus database upgrade`"
        )
    raise SchemaOutdated(
        f"{database} is at schema revision {revision}, which this version of eventbus does not know (its newest is "
        f"{newest}): a newer eventbus has upgraded it, install that one"
    )


def _make_on_sqlite(connection: sqlalchemy.Connection) -> list[str]:
    """
    Makes the tables in a database that has none: by the migrations once a process, then by what those came to, which
    takes a twentieth of the time. A test suite makes hundreds of databases.
    """
    if SQLITE_STATEMENTS:
        for statement in SQLITE_STATEMENTS:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"INSERT INTO {VERSION_TABLE} VALUES (?)", (REVISIONS[-1],))  # noqa: S608
        return list(REVISIONS)
    before = set(_sqlite_statements(connection))
    applied = _upgrade(connection)
    SQLITE_STATEMENTS[:] = [made for made in _sqlite_statements(connection) if made not in before]
    return applied


def _sqlite_statements(connection: sqlalchemy.Connection) -> list[str]:
    """How each table and index was made, in that order; what SQLite makes by itself is left out."""
    found = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY rowid")
    return [statement for statement in found.scalars() if statement is not None]


def _upgrade(connection: sqlalchemy.Connection) -> list[str]:
    # Loaded here: Alembic takes a tenth of a second, and most starts have nothing to upgrade.
    from alembic import command
    from alembic.migration import MigrationInfo

    applied: list[str] = []

    def on_version_apply(*, step: MigrationInfo, **_: object) -> None:
        applied.extend(step.up_revision_ids)

    config = _config()
    config.attributes["connection"] = connection
    config.attributes["on_version_apply"] = on_version_apply
    command.upgrade(config, "head")
    return applied


def _script(dialect: Dialect, revision: str | None) -> str:
    from alembic import command

    config = _config()
    config.output_buffer = written = StringIO()
    config.attributes["dialect"] = dialect
    command.upgrade(config, f"{revision or 'base'}:head", sql=True)
    return written.getvalue()


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    # ConfigParser reads % as the beginning of a name.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
