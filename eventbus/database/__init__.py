"""
The service's database: connections, and the framework's tables behind a port each.
"""

from eventbus.database.blocked_rows import BlockedRow, BlockedRows, WaitingKey
from eventbus.database.checkpoints import Checkpoint, Checkpoints, LogPartition
from eventbus.database.dead_letters import DeadLetter, DeadLetters, LetterFilter
from eventbus.database.direct import Direct, PostgresqlDriver
from eventbus.database.engine import Database, Engine
from eventbus.database.handler_starts import HandlerStarts
from eventbus.database.inbox import CommandInbox, Inbox
from eventbus.database.inbox_horizons import InboxHorizons, LogEnd
from eventbus.database.leases import SlotLease, SlotLeases
from eventbus.database.letter_retries import Failure, LetterRetries
from eventbus.database.outbox import Outbox, OutboxRow, OutboxStatus, PublishedRow, SlotStatus
from eventbus.database.parking import ParkedEvent, ParkedKey, Parking, ParkingStatus
from eventbus.database.schema import Migrations

__all__ = [
    "BlockedRow",
    "BlockedRows",
    "Checkpoint",
    "Checkpoints",
    "CommandInbox",
    "Database",
    "DeadLetter",
    "DeadLetters",
    "Direct",
    "Engine",
    "Failure",
    "HandlerStarts",
    "Inbox",
    "InboxHorizons",
    "LetterFilter",
    "LetterRetries",
    "LogEnd",
    "LogPartition",
    "Migrations",
    "Outbox",
    "OutboxRow",
    "OutboxStatus",
    "ParkedEvent",
    "ParkedKey",
    "Parking",
    "ParkingStatus",
    "PostgresqlDriver",
    "PublishedRow",
    "SlotLease",
    "SlotLeases",
    "SlotStatus",
    "WaitingKey",
]
