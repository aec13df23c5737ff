"""
The schema's history: made once, checked at each start, the same as `tables.py`.
"""

import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import anyio
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from eventbus.database import Database, Migrations, Outbox, schema
from eventbus.database.migrations import REVISIONS, VERSION_TABLE
from eventbus.database.tables import metadata
from eventbus.errors import SchemaOutdated

pytestmark = pytest.mark.anyio

PREPARE = """
import sys, anyio
from eventbus.database import Database, Migrations

async def main():
    database = Database.from_url(sys.argv[1])
    await Migrations(database).prepare()
    await database.aclose()

anyio.run(main)
"""


async def test_the_first_start_makes_the_tables_and_the_next_ones_check_them(empty_database_url: str) -> None:
    """An upgrade that finds nothing to do says so."""
    database = Database.from_url(empty_database_url)
    migrations = Migrations(database)
    assert await migrations.current() is None
    with pytest.raises(SchemaOutdated, match="eventbus database upgrade"):
        await migrations.check()
    await migrations.prepare()
    assert await migrations.current() == REVISIONS[-1]
    await migrations.check()
    await migrations.prepare()
    assert await migrations.upgrade() == []
    async with database.reading() as connection:
        assert (await Outbox().status(connection)).rows == 0
    await database.aclose()


async def test_an_upgrade_tells_what_it_applied(empty_database_url: str) -> None:
    """Every revision, the oldest first."""
    database = Database.from_url(empty_database_url)
    assert await Migrations(database).upgrade() == list(REVISIONS)
    await database.aclose()


async def test_the_script_makes_what_an_upgrade_makes_from_wherever_the_database_is(empty_database_url: str) -> None:
    """From nothing and from the first revision; in one transaction, with the revision set as Alembic would."""
    database = Database.from_url(empty_database_url)
    migrations = Migrations(database)
    script = await migrations.script()
    assert await migrations.current() is None
    first, rest = script.split(f"-- Running upgrade {REVISIONS[0]} -> {REVISIONS[1]}")
    await _run(database, first)
    assert await migrations.current() == REVISIONS[0]
    assert "CREATE TABLE eventbus_events" not in await migrations.script()
    await _run(database, await migrations.script())
    await migrations.check()
    assert await migrations.script() == ""
    assert rest.strip().endswith("COMMIT;")
    await database.aclose()


async def _run(database: Database, script: str) -> None:
    statements = [part for part in script.split(";") if part.strip() not in {"BEGIN", "COMMIT", ""}]
    async with database.transaction() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)


async def test_the_migrated_schema_is_the_one_that_the_code_uses(database: Database) -> None:
    """Alembic finds no difference between the migrations' tables and `tables.py`."""

    def differences(connection: sqlalchemy.Connection) -> object:
        # SQLite numbers rows by itself: Identity() says nothing to it, and Alembic takes it for a missing default.
        defaults = connection.dialect.name == "postgresql"
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": defaults}
        )
        return compare_metadata(context, metadata)

    async with database.reading() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_later_sqlite_database_of_a_process_has_the_very_same_tables(tmp_path: Path) -> None:
    """The first by the migrations, the others by what those came to, which leaves the user's own tables out."""
    schema.SQLITE_STATEMENTS.clear()
    dumps: list[list[str]] = []
    for number in range(2):
        path = tmp_path / f"{number}.sqlite3"
        if number == 0:
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("CREATE TABLE own (number INTEGER)")
        database = Database.from_url(f"sqlite:///{path}")
        assert await Migrations(database).upgrade() == list(REVISIONS)
        await Migrations(database).check()
        await database.aclose()
        with closing(sqlite3.connect(path)) as connection:
            dumps.append([line for line in connection.iterdump() if "own" not in line])
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]
            assert ("own" in tables) is (number == 0)
    assert len(dumps[0]) > 10
    assert dumps[0] == dumps[1]


async def test_services_that_start_at_once_make_the_tables_once(empty_database_url: str) -> None:
    """Four processes on one empty database, all at the same time."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PREPARE, empty_database_url],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        output, _ = await anyio.to_thread.run_sync(process.communicate)
        assert process.returncode == 0, output
    database = Database.from_url(empty_database_url)
    await Migrations(database).check()
    await database.aclose()


async def test_an_upgrade_that_is_cancelled_leaves_nothing(empty_database_url: str) -> None:
    """All revisions are one transaction, tables included."""
    database = Database.from_url(empty_database_url)
    with pytest.raises(RuntimeError, match="no"):
        async with database.transaction() as connection:
            await connection.run_sync(schema._upgrade)
            raise RuntimeError("no")
    assert await Migrations(database).current() is None
    await Migrations(database).prepare()
    await database.aclose()


async def test_an_older_schema_is_refused_with_the_command(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service never upgrades beside its running siblings: the operator does."""
    monkeypatch.setattr(schema, "REVISIONS", (*REVISIONS, "9999"))
    for refused in (Migrations(database).check, Migrations(database).prepare):
        with pytest.raises(SchemaOutdated, match=f"revision {REVISIONS[-1]}.*needs 9999.*eventbus database upgrade"):
            await refused()


async def test_a_newer_schema_is_refused(database: Database) -> None:
    """By a check, by a start and by an upgrade: a newer eventbus has been here."""
    async with database.transaction() as connection:
        await connection.execute(text("UPDATE eventbus_alembic_version SET version_num = 'f00d'"))
    for refused in (Migrations(database).check, Migrations(database).prepare, Migrations(database).upgrade):
        with pytest.raises(SchemaOutdated, match=r"revision f00d.*does not know.*a newer eventbus"):
            await refused()


def test_the_listed_revisions_are_those_that_are_shipped() -> None:
    """What a start compares with, without Alembic, is what Alembic would find."""
    directory = files("eventbus.database") / "migrations"
    config = Config()
    config.set_main_option("script_location", str(directory))
    found = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(found)) == REVISIONS


def test_the_migrations_are_in_packages() -> None:
    """A directory without `__init__.py` would be missing from the wheel."""
    directory = Path(schema.__file__).parent / "migrations"
    for module in directory.rglob("*.py"):
        assert (module.parent / "__init__.py").exists(), module
