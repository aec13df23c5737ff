"""
Where transactions begin.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from eventbus.clock import Clock, SystemClock
from eventbus.database import Database, Outbox
from eventbus.store.event_store import EventStore
from eventbus.store.group_commit import GroupCommit
from eventbus.store.group_load import GroupLoad
from eventbus.store.unit_of_work import Transaction


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
        self._database = database
        self._source = source
        is_own = event_store is None and outbox is None
        self._group_commit = GroupCommit(database) if is_own else None
        self._group_load = GroupLoad(database) if is_own else None
        self._event_store = event_store or EventStore()
        self._outbox = outbox or Outbox()
        self._clock = clock or SystemClock()
        self._listeners: list[Callable[[], None]] = []

    def when_committed(self, listener: Callable[[], None]) -> None:
        """Have *listener* called after each commit that left something in the outbox: the relay wakes by it."""
        self._listeners.append(listener)

    def begin(self, *, lazily: bool = False) -> AbstractAsyncContextManager[Transaction]:
        """
        A transaction, flushed and committed when the block ends, rolled back when it raises or is cancelled.

        lazily   the database's transaction begins with `Transaction.open`, and where nobody opens it, what the
                 framework has to write goes into one with what others have at the time

        Raises ConcurrencyConflict, CommandRepeated, DatabaseUnavailable; nothing was written then.
        """
        transaction = Transaction(
            self._database,
            self._source,
            self._event_store,
            self._outbox,
            self._clock,
            self._group_commit,
            self._group_load,
        )
        return _Block(transaction, lazily, self._listeners)


class _Block(AbstractAsyncContextManager[Transaction]):
    """A class and no generator: every command goes through it, and a lazy one is to cost next to nothing."""

    __slots__ = ("_is_lazy", "_listeners", "_transaction")

    def __init__(self, transaction: Transaction, is_lazy: bool, listeners: Sequence[Callable[[], None]]) -> None:
        self._transaction = transaction
        self._is_lazy = is_lazy
        self._listeners = listeners

    async def __aenter__(self) -> Transaction:
        if not self._is_lazy:
            await self._transaction.open()
        return self._transaction

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        transaction = self._transaction
        if error is None:
            try:
                await transaction.finish()
            except BaseException as raised:
                await transaction.end(type(raised), raised, raised.__traceback__)
                raise
        await transaction.end(kind, error, traceback)
        if error is None and transaction.announces:
            for listener in self._listeners:
                listener()
