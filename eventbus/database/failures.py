"""
Which of a driver's errors mean "away or locked: the same call may succeed later", and which mean that something is
wrong.

    SQLite       BUSY, LOCKED, PROTOCOL   another process holds the lock        DatabaseUnavailable
                 CANTOPEN, FULL, IOERR    the file or the disk                  DatabaseUnavailable
    PostgreSQL   08*, 57P0*               connection lost, shutting down        DatabaseUnavailable
                 53*                      connections, memory or disk used up   DatabaseUnavailable
                 40001, 40P01, 55P03      deadlock, lock not available          DatabaseUnavailable
                 28*, 3D000               role, password, database name         InvalidConfiguration
    everything else passes through as it is
"""

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from eventbus.database.url import VARIABLE
from eventbus.errors import DatabaseUnavailable, EventBusError, InvalidConfiguration

_SQLITE_AWAY: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
    }
)
_SQLITE_LOCKED: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_POSTGRESQL_AWAY: Final = ("08", "53", "57P0")
_POSTGRESQL_BUSY: Final = ("40001", "40P01", "55P03")
_POSTGRESQL_MISCONFIGURED: Final = ("28", "3D000")


def translate(error: BaseException, name: str, *, disconnected: bool = False) -> EventBusError | None:
    """
    What *error*, from a driver or from SQLAlchemy, is to eventbus; None when it is not about the database being there.

    name           the database in the text: a file, or host and name
    disconnected   the dialect has recognised a lost connection
    """
    if not isinstance(error, Exception):
        return None  # cancelled, not away, although SQLAlchemy gives up the connection for it
    if isinstance(error, DBAPIError):
        return translate(error.orig, name, disconnected=error.connection_invalidated) if error.orig else None
    if isinstance(error, PoolTimeout):
        return DatabaseUnavailable(f"{name}: no connection was free in time ({_first_line(error)})")
    if isinstance(error, sqlite3.Error):
        return _translate_sqlite(error, name)
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        if state.startswith(_POSTGRESQL_MISCONFIGURED):
            return InvalidConfiguration(f"{VARIABLE}: {name} refuses the connection: {_first_line(error)}")
        if state.startswith(_POSTGRESQL_BUSY):
            return DatabaseUnavailable(f"{name} is locked: {_first_line(error)}")
        if state.startswith(_POSTGRESQL_AWAY):
            return DatabaseUnavailable(f"{name} is away: {_first_line(error)}")
    if disconnected or isinstance(error, OSError):
        return DatabaseUnavailable(f"{name} is away: {_first_line(error)}")
    return None


def _translate_sqlite(error: sqlite3.Error, name: str) -> EventBusError | None:
    code = getattr(error, "sqlite_errorcode", None)
    if not isinstance(code, int):
        return None
    primary = code & 0xFF  # the extended code has the reason in its upper bytes
    if primary not in _SQLITE_AWAY:
        return None
    if primary in _SQLITE_LOCKED:
        return DatabaseUnavailable(f"{name} is locked: another process has been writing to it for too long")
    return DatabaseUnavailable(f"{name} is away: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
