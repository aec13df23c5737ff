"""
Errors that several callers share, because what they wanted was done together.
"""

import sqlite3
from collections.abc import Iterator
from copy import copy

from sqlalchemy.exc import DBAPIError, IntegrityError

from eventbus.errors import EventBusError


def for_each(error: BaseException, callers: int) -> Iterator[BaseException]:
    """
    An exception for each caller, as the rest of the framework and its users know it; *error* is a driver's, or one of
    ours. Each its own: one that is raised collects the traceback, and perhaps notes, of where it is raised.
    """
    for _ in range(callers):
        if isinstance(error, EventBusError) or not isinstance(error, Exception):
            own = copy(error)
            own.__cause__ = error.__cause__
        else:
            own = IntegrityError(None, None, error) if _is_integrity(error) else DBAPIError(None, None, error)
            own.__cause__ = error
        yield own


def _is_integrity(error: Exception) -> bool:
    return isinstance(error, sqlite3.IntegrityError) or str(getattr(error, "sqlstate", "")).startswith("23")
