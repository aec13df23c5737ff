"""
A SQL projection writes its own tables, and nothing else.

A rebuild runs the same methods again, on other tables, for events that were applied long ago. What a method does
besides would happen a second time, for every event that there ever was: a row in another table, an outbox row that
becomes a message. So it is refused, live and in a rebuild alike, and is found out by the first event; what is to happen
once per event belongs in a handler.
"""

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Table, event
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.errors import DefinitionError

_QUOTED: Final = re.compile(r"'(?:[^']|'')*'")
_NAME: Final = r'(?:ONLY\s+)?(?:"?\w+"?\s*\.\s*)?"?(?P<name>\w+)"?'
_WRITES: Final = re.compile(
    r"\b(?:INSERT\s+(?:OR\s+\w+\s+)?INTO|REPLACE\s+INTO|MERGE\s+INTO|DELETE\s+FROM|TRUNCATE(?:\s+TABLE)?|"
    r"(?:CREATE|ALTER|DROP)\s+(?:\w+\s+)*?TABLE(?:\s+IF\s+(?:NOT\s+)?EXISTS)?|"
    # FOR UPDATE locks, ON UPDATE declares, and DO UPDATE belongs to an INSERT that has been looked at.
    r"(?<!FOR\s)(?<!DO\s)(?<!KEY\s)(?<!ON\s)UPDATE(?:\s+OR\s+\w+)?)\s+" + _NAME,
    re.IGNORECASE,
)


class OwnTables:
    """The tables that one generation of a projection may write."""

    def __init__(self, projection: str, tables: Sequence[Table]) -> None:
        self._projection = projection
        self._names = {table.name for table in tables}
        self._seen: dict[str, str | None] = {}

    @contextmanager
    def only(self, connection: AsyncConnection) -> Generator[None]:
        """Statements in the block that write other tables raise DefinitionError."""
        sync = connection.sync_connection
        event.listen(sync, "before_cursor_execute", self._check)
        try:
            yield
        finally:
            event.remove(sync, "before_cursor_execute", self._check)

    def _check(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement not in self._seen:
            self._seen[statement] = self.foreign(statement)
        if (name := self._seen[statement]) is not None:
            raise DefinitionError(
                f"projection {self._projection!r} writes the table {name!r}, which is not in its tables=: a rebuild "
                "would do that again for every event; leave it to a handler (@handles), or declare the table"
            )

    def foreign(self, statement: str) -> str | None:
        """The first table that *statement* writes and that is not one of them."""
        found = (match["name"] for match in _WRITES.finditer(_QUOTED.sub("''", statement)))
        return next((name for name in found if name not in self._names), None)
