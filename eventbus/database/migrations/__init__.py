"""
The history of the framework's tables, as Alembic revisions. `eventbus.database.Migrations` applies them.

A new revision: a module in `versions/`, its id at the end of REVISIONS, and `tables.py` as it is afterwards.
"""

from typing import Final

REVISIONS: Final = ("0001", "0002", "0003", "0005", "0004", "0006")
"""Every revision, the oldest first: known without loading Alembic, so that a start costs one query."""

VERSION_TABLE: Final = "eventbus_alembic_version"

MOVING: Final = "migrating"
"""What a database has instead of a revision while `eventbus migrate` fills it: no service starts on it."""
