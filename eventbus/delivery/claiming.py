"""Claims partitions for a subscription, in the log as it is now, and says how much there is to read."""

import logging
from collections.abc import Iterable, Mapping

from eventbus.database.checkpoints import LogPartition
from eventbus.delivery.subscription import Claim, Subscription
from eventbus.errors import ForeignLog
from eventbus.transport.port import LogDescription, TopicPartition, Transport

_log = logging.getLogger("eventbus.delivery")

Claims = dict[TopicPartition, Claim]


class Claiming:
    """Of one subscription."""

    def __init__(self, subscription: Subscription[Claim], transport: Transport) -> None:
        self._subscription = subscription
        self._transport = transport

    async def claim(self, wanted: Iterable[TopicPartition]) -> tuple[LogDescription, Claims]:
        """
        All of *wanted*, one after the other. Raises ForeignLog, BrokerUnavailable, and what the subscription raises:
        then those before are claimed as well, and may be claimed again.
        """
        log = await self._transport.describe(self._subscription.topics)
        return log, {partition: await self._claim_one(log, partition) for partition in sorted(wanted)}

    async def _claim_one(self, log: LogDescription, partition: TopicPartition) -> Claim:
        topic = log.topics.get(partition.topic)
        if topic is None or partition.partition >= len(topic.partitions):
            raise ForeignLog(
                f"topic {partition.topic!r} partition {partition.partition} is not in the log of cluster "
                f"{log.cluster_id!r} any more: restore it, or start with an empty database and a new log"
            )
        offsets = topic.partitions[partition.partition]
        place = LogPartition(log.cluster_id, partition.topic, topic.topic_id, partition.partition)
        return await self._subscription.claim(place, offsets.start, offsets.end)

    def say_where(self, log: LogDescription, claims: Mapping[TopicPartition, Claim]) -> None:
        """One line for what has been claimed together."""
        ahead = sum(
            max(0, log.topics[topic].partitions[number].end - claim.next_offset)
            for (topic, number), claim in claims.items()
        )
        _log.info(
            "consumer %s: %d partitions of %s, %d records to read",
            self._subscription.name,
            len(claims),
            ", ".join(self._subscription.topics),
            ahead,
        )
