"""
Streams of events, and the transaction in which a message's effects happen.
"""

from eventbus.store.event_outbox import EventOutbox
from eventbus.store.event_store import EventStore
from eventbus.store.identifiers import new_event_id
from eventbus.store.snapshots import Snapshot, Snapshots
from eventbus.store.streams import Append, Appended, CategoryCursor, Expect, ExpectedVersion, History, StoredEvent
from eventbus.store.transaction import Transaction
from eventbus.store.transactions import Transactions
from eventbus.store.unit_of_work import UnitOfWork
from eventbus.store.writes import CommandRepeated

__all__ = [
    "Append",
    "Appended",
    "CategoryCursor",
    "CommandRepeated",
    "EventOutbox",
    "EventStore",
    "Expect",
    "ExpectedVersion",
    "History",
    "Snapshot",
    "Snapshots",
    "StoredEvent",
    "Transaction",
    "Transactions",
    "UnitOfWork",
    "new_event_id",
]
