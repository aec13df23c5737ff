"""
Where transactions begin.
"""

from collections.abc import Callable

from eventbus.clock import Clock, SystemClock
from eventbus.database import Database, Outbox
from eventbus.store.event_store import EventStore
from eventbus.store.group_commit import GroupCommit
from eventbus.store.group_load import GroupLoad
from eventbus.store.transaction import Means, Transaction


class Transactions:
    """
    Begins transactions.

    source        the service's name: `ce_source` of the events
    event_store   where appended events go; with one of your own there is no group commit
    outbox        where what is to be published goes; the same
    """

    def __init__(
        self,
        database: Database,
        source: str,
        *,
        event_store: EventStore | None = None,
        outbox: Outbox | None = None,
        clock: Clock | None = None,
    ) -> None:
        is_own = event_store is None and outbox is None
        self._listeners: list[Callable[[], None]] = []
        self._means = Means(
            database,
            source,
            event_store or EventStore(),
            outbox or Outbox(),
            clock or SystemClock(),
            (GroupCommit(database), GroupLoad(database)) if is_own else None,
            self._listeners,
        )

    @property
    def clock(self) -> Clock:
        """What the times of everything that is recorded come from."""
        return self._means.clock

    def when_committed(self, listener: Callable[[], None]) -> None:
        """Have *listener* called after each commit that left something in the outbox: the relay wakes by it."""
        self._listeners.append(listener)

    def begin(self, *, lazily: bool = False) -> Transaction:
        """
        A transaction, flushed and committed when the block ends, rolled back when it raises or is cancelled.

        lazily   the database's transaction begins with `Transaction.open`, and where nobody opens it, what the
                 framework has to write goes into one with what others have at the time

        Raises ConcurrencyConflict, CommandRepeated, DatabaseUnavailable; nothing was written then.
        """
        return Transaction(self._means, is_lazy=lazily)
