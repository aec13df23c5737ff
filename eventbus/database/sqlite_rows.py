"""
Many rows into a table of SQLite, a hundred with a statement.

`executemany` makes a step for each row, and each step gives the interpreter up and waits for it again: beside a busy
event loop that is a wait of up to five milliseconds a row (`sys.getswitchinterval`).
"""

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Final

_ROWS: Final = (100, 10, 1)
_PARAMETERS_MAX: Final = 32_766
"""SQLite's own limit."""

SqliteValue = str | int | float | bytes | None


class SqliteRows:
    """
    The statements of one insert.

    insert   `INSERT INTO a_table (a, b)`
    width    how many columns that are
    ending   an ON CONFLICT clause, or nothing
    """

    def __init__(self, insert: str, width: int, ending: str) -> None:
        row = f"({', '.join('?' * width)})"
        self._statements = [
            (rows, f"{insert} VALUES {', '.join([row] * rows)} {ending}")
            for rows in _ROWS
            if rows == 1 or rows * width <= _PARAMETERS_MAX
        ]

    def insert(self, database: sqlite3.Connection, rows: Sequence[Sequence[SqliteValue]]) -> None:
        """In their order. Raises what `sqlite3` raises; then the transaction is to be rolled back."""
        at = 0
        for count, statement in self._statements:
            while len(rows) - at >= count:
                database.execute(statement, list(chain.from_iterable(rows[at : at + count]))).close()
                at += count
