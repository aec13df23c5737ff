"""
From the log to handlers and projections, and from the outbox to the log.
"""

from eventbus.delivery.blocked_keys import BlockedKey
from eventbus.delivery.consumer import Consumer
from eventbus.delivery.consumer_status import ConsumerStatus, PartitionStatus
from eventbus.delivery.drain import Drain
from eventbus.delivery.event_delivery import EventDelivery
from eventbus.delivery.fenced_claims import fenced_claims
from eventbus.delivery.inbox_expiry import InboxExpiry
from eventbus.delivery.relay import Relay, RelayStatus
from eventbus.delivery.retry_delivery import RetryDelivery, failure_topics, retry_delays, say_order_is_given_up
from eventbus.delivery.retry_records import is_retry_topic, retry_topic
from eventbus.delivery.subscription import Claim, Subscription, check_within

__all__ = [
    "BlockedKey",
    "Claim",
    "Consumer",
    "ConsumerStatus",
    "Drain",
    "EventDelivery",
    "InboxExpiry",
    "PartitionStatus",
    "Relay",
    "RelayStatus",
    "RetryDelivery",
    "Subscription",
    "check_within",
    "failure_topics",
    "fenced_claims",
    "is_retry_topic",
    "retry_delays",
    "retry_topic",
    "say_order_is_given_up",
]
