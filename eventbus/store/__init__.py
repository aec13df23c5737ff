"""
Streams of events, and the transaction in which a message's effects happen.
"""

from eventbus.store.event_store import EventStore
from eventbus.store.identifiers import new_event_id
from eventbus.store.streams import Append, StoredEvent
from eventbus.store.unit_of_work import Transaction, Transactions, UnitOfWork

__all__ = [
    "Append",
    "EventStore",
    "StoredEvent",
    "Transaction",
    "Transactions",
    "UnitOfWork",
    "new_event_id",
]
