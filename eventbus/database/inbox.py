"""
What has been handled already: messages by consumer, and commands by an id of the caller's.

Both are rows of the effect's own transaction, so an effect and the memory of it are there together or not at all.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.batches import BatchInsert, Value
from eventbus.database.dialects import insert_into, is_sqlite
from eventbus.database.direct import Direct, PostgresqlDriver
from eventbus.database.sqlite_engine import run_on_sqlite
from eventbus.database.tables import commands
from eventbus.database.times import time_to_text

# Nearly always nothing is repeated, so the repeats are what is asked for: a row for each id that is new costs more than
# the insert does, on SQLite another turn at the interpreter besides.
_REPEATED_ON_SQLITE: Final = (
    "SELECT message_id FROM eventbus_inbox WHERE consumer = ? AND message_id IN (SELECT value FROM json_each(?))"
)
_RECORD_ON_SQLITE: Final = (
    # WHERE true: without it SQLite reads ON as the beginning of a join.
    "INSERT INTO eventbus_inbox (consumer, message_id, handled_at) "
    "SELECT ?, value, ? FROM json_each(?) WHERE true ON CONFLICT DO NOTHING"
)
_RECORD_ON_POSTGRESQL: Final = (
    # In one order, so that two transactions that admit the same ids wait for each other and never deadlock.
    "WITH new AS (INSERT INTO eventbus_inbox (consumer, message_id, handled_at) "
    "SELECT $1::text, id, $2::timestamptz FROM unnest($3::text[]) AS id ORDER BY id "
    "ON CONFLICT DO NOTHING RETURNING message_id) "
    "SELECT id FROM unnest($3::text[]) AS id EXCEPT SELECT message_id FROM new"
)

INSERT_COMMANDS: Final = BatchInsert(commands, "command_id", "receipt", "recorded_at")
_FIND_ON_SQLITE: Final = "SELECT receipt FROM eventbus_commands WHERE command_id = ?"
_FIND_ON_POSTGRESQL: Final = "SELECT receipt FROM eventbus_commands WHERE command_id = $1"


def command_row(command_id: str, receipt: str) -> tuple[Value, ...]:
    """The row of a command that is recorded now."""
    return command_id, receipt, datetime.now(UTC)


class Inbox:
    """The messages that consumers have handled."""

    async def admit(self, connection: AsyncConnection, consumer: str, message_ids: Sequence[str]) -> set[str]:
        """
        Those of *message_ids* that *consumer* has not handled yet, recorded now. An id that another
        open transaction has just recorded is waited for: handled if that one commits, new if it rolls back.
        """
        if not message_ids:
            return set()
        now, new = datetime.now(UTC), set(message_ids)
        if is_sqlite(connection):

            def record(database: sqlite3.Connection) -> list[tuple[str]]:
                values = (consumer, time_to_text(now), json.dumps(list(message_ids)))
                database.execute("SAVEPOINT admitted").close()
                recorded = database.execute(_RECORD_ON_SQLITE, values).rowcount
                repeated: list[tuple[str]] = []
                if recorded < len(new):
                    # Only then are they looked for, before the rows that would hide which ones they are.
                    database.execute("ROLLBACK TO admitted").close()
                    repeated = database.execute(_REPEATED_ON_SQLITE, (consumer, values[2])).fetchall()
                    database.execute(_RECORD_ON_SQLITE, values).close()
                database.execute("RELEASE admitted").close()
                return repeated

            repeated: Iterable[Sequence[object]] = await run_on_sqlite(connection, record)
        else:
            rows = await connection.exec_driver_sql(_RECORD_ON_POSTGRESQL, (consumer, now, list(message_ids)))
            repeated = rows.all()
        return new.difference(row[0] for row in repeated) if repeated else new


class CommandInbox:
    """The receipts of commands that were sent under an id of the caller's."""

    async def find(self, connection: AsyncConnection, command_id: str) -> str | None:
        """The receipt (JSON) that was given for the command; None when it was not handled yet."""
        receipt: str | None = await connection.scalar(
            select(commands.c.receipt).where(commands.c.command_id == command_id)
        )
        return receipt

    @staticmethod
    def finding(command_id: str) -> Direct[str | None]:
        """The same as `find`, without SQLAlchemy and outside of any transaction."""

        def on_sqlite(database: sqlite3.Connection) -> str | None:
            found = database.execute(_FIND_ON_SQLITE, (command_id,)).fetchone()
            return None if found is None else str(found[0])

        async def on_postgresql(driver: PostgresqlDriver) -> str | None:
            found = await driver.fetch(_FIND_ON_POSTGRESQL, command_id)
            return str(found[0][0]) if found else None

        return Direct(on_sqlite, on_postgresql)

    async def record(self, connection: AsyncConnection, command_id: str, receipt: str) -> str | None:
        """
        Record the receipt; None says that it is the first. Otherwise another transaction handled the same command at
        the same time and has committed: its receipt is given, and this transaction is to be rolled back.
        """
        statement = (
            insert_into(connection, commands)
            .values(command_id=command_id, receipt=receipt, recorded_at=datetime.now(UTC))
            .on_conflict_do_nothing()
            .returning(commands.c.command_id)
        )
        recorded = (await connection.execute(statement)).scalar_one_or_none()
        return None if recorded is not None else await self.find(connection, command_id)
