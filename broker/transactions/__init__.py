"""Transactions: who may write under a transactional id, and how what was written becomes visible, all or nothing."""

from broker.transactions.coordinator import LoadReport, TransactionCoordinator
from broker.transactions.log import TransactionLog
from broker.transactions.markers import GROUP_OFFSETS_TOPIC, GroupOffsets, Participants, PartitionMarkers
from broker.transactions.values import (
    NO_EPOCH,
    NO_PRODUCER_ID,
    TRANSACTIONS_V1,
    TRANSACTIONS_V2,
    ListFilter,
    Producer,
    ProducerResult,
    Transaction,
    TransactionState,
)

__all__ = [
    "GROUP_OFFSETS_TOPIC",
    "NO_EPOCH",
    "NO_PRODUCER_ID",
    "TRANSACTIONS_V1",
    "TRANSACTIONS_V2",
    "GroupOffsets",
    "ListFilter",
    "LoadReport",
    "Participants",
    "PartitionMarkers",
    "Producer",
    "ProducerResult",
    "Transaction",
    "TransactionCoordinator",
    "TransactionLog",
    "TransactionState",
]
