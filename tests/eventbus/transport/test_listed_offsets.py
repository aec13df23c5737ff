"""What a broker's death leaves of an answer; whole answers are the contract suites' (`describe`)."""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass

import pytest
from confluent_kafka import OFFSET_INVALID, IsolationLevel, TopicPartition
from confluent_kafka.admin._listoffsets import OffsetSpec

from eventbus.errors import BrokerUnavailable
from eventbus.transport.kafka.listed_offsets import ListedOffset, offset_ranges


@dataclass
class Offset:
    offset: int


class CutOff:
    """An admin client whose broker goes away before the last partition is answered."""

    def list_offsets(
        self,
        topic_partition_offsets: Mapping[TopicPartition, OffsetSpec],
        *,
        isolation_level: IsolationLevel,
        request_timeout: float,
    ) -> Mapping[TopicPartition, Future[ListedOffset]]:
        found: dict[TopicPartition, Future[ListedOffset]] = {}
        for number, place in enumerate(topic_partition_offsets, start=1):
            future: Future[ListedOffset] = Future()
            future.set_result(Offset(OFFSET_INVALID if number == len(topic_partition_offsets) else 0))
            found[place] = future
        return found


def test_a_partition_that_nobody_answered_for_is_no_end_of_a_log() -> None:
    """The broker is away: whoever took -1001 for the log's end would stop for good, as at a foreign log."""
    with pytest.raises(BrokerUnavailable, match="orders-2"):
        offset_ranges(CutOff(), {"orders": 3}, committed=True, seconds=1)
