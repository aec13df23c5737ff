"""
From the log to handlers and projections, and from the outbox to the log.
"""

from eventbus.delivery.blocked_keys import BlockedKey
from eventbus.delivery.consumer import Consumer, ConsumerStatus, PartitionStatus
from eventbus.delivery.event_delivery import EventDelivery
from eventbus.delivery.relay import Relay, RelayStatus
from eventbus.delivery.subscription import Claim, Subscription, check_within

__all__ = [
    "BlockedKey",
    "Claim",
    "Consumer",
    "ConsumerStatus",
    "EventDelivery",
    "PartitionStatus",
    "Relay",
    "RelayStatus",
    "Subscription",
    "check_within",
]
