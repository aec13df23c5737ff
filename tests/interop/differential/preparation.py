"""Brings both brokers to where their coordinators answer: the internal topics exist and are loaded."""

from typing import cast

from broker.wire.declaration import Message
from broker.wire.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from broker.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from broker.wire.messages.transactions import InitProducerIdRequest, InitProducerIdResponse
from tests.interop.differential.building import new_topic
from tests.interop.differential.runner import Runner
from tests.interop.differential.scenario import Build, Known, Scenario, Settle, Step

_PARTITIONS = 6  # of __consumer_offsets in both: groups that land in each of them


def prepare(runner: Runner) -> None:
    """Returns when a group in every partition of the offsets topic and a transactional id are answered by both."""
    steps: list[Step] = [*new_topic("t"), Settle(_find(0), _found)]
    steps += [Settle(_commit(number), _committed, version=9) for number in range(3 * _PARTITIONS)]
    steps += [Settle(_find(1), _found)]
    steps += [Settle(_init(number), _initialised, version=4) for number in range(_PARTITIONS)]
    runner.play(Scenario("preparation", steps))


def _find(key_type: int) -> Build:
    return lambda known: FindCoordinatorRequest(key_type=key_type, coordinator_keys=[known.name("g0")])


def _found(answer: Message) -> bool:
    return all(each.error_code != 15 for each in cast("FindCoordinatorResponse", answer).coordinators)


def _commit(number: int) -> Build:
    def build(known: Known) -> OffsetCommitRequest:
        partition = OffsetCommitRequestPartition(partition_index=0, committed_offset=1, committed_metadata="")
        topic = OffsetCommitRequestTopic(name=known.name("t"), partitions=[partition])
        return OffsetCommitRequest(
            group_id=known.name(f"g{number}"), generation_id_or_member_epoch=-1, member_id="", topics=[topic]
        )

    return build


def _committed(answer: Message) -> bool:
    return all(p.error_code == 0 for topic in cast("OffsetCommitResponse", answer).topics for p in topic.partitions)


def _init(number: int) -> Build:
    return lambda known: InitProducerIdRequest(transactional_id=known.name(f"x{number}"), transaction_timeout_ms=60000)


def _initialised(answer: Message) -> bool:
    # 14, 15, 16: loading, not available, elsewhere; 51: still at an earlier request.
    return cast("InitProducerIdResponse", answer).error_code not in {14, 15, 16, 51}
