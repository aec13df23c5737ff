"""
Whose commits count in a consumer group, and who is told its offsets.

A member's commit counts in its own epoch. One that was sent in an earlier epoch counts as well, as long as every
partition in it was the member's by then and still is (KIP-1251): the epoch may have risen while the commit was on its
way. Anything else is STALE_MEMBER_EPOCH (ILLEGAL_GENERATION for classic members), and the client asks for its epoch.
"""

from collections.abc import Iterable

from broker.errors import ErrorCode
from broker.groups.consumer.state import ConsumerGroup
from broker.groups.consumer.topics import Topics
from broker.groups.values import NO_GENERATION, CommitRequest
from broker.identifiers import TopicPartition


def refuse_commit(group: ConsumerGroup, request: CommitRequest, topics: Topics, *, transactional: bool) -> ErrorCode:
    """NONE when the offsets count. *transactional*: the producer's epoch fences, so the member need not be named."""
    epoch = request.generation
    if epoch <= NO_GENERATION and len(group) == 0:
        return ErrorCode.NONE
    if transactional and epoch == NO_GENERATION and request.member_id == "" and request.instance_id is None:
        return ErrorCode.NONE
    if request.member_id not in group.roster:
        return ErrorCode.UNKNOWN_MEMBER_ID
    classic = group.roster[request.member_id].classic is not None
    if not transactional and not classic and not request.knows_member_epochs:
        return ErrorCode.UNSUPPORTED_VERSION
    expected = group.roster.current(request.member_id).member_epoch
    if epoch == expected:
        return ErrorCode.NONE
    if classic:
        return ErrorCode.ILLEGAL_GENERATION
    if epoch < expected and _owned_since(group, request.member_id, epoch, request.offsets, topics):
        return ErrorCode.NONE
    return ErrorCode.STALE_MEMBER_EPOCH


def refuse_fetch(group: ConsumerGroup, member_id: str | None, member_epoch: int) -> ErrorCode:
    """NONE for the member in its epoch, and for whoever does not claim to be one."""
    if member_id is None and member_epoch < 0:
        return ErrorCode.NONE
    if member_id is None or member_id not in group.roster:
        return ErrorCode.UNKNOWN_MEMBER_ID
    if member_epoch == group.roster.current(member_id).member_epoch:
        return ErrorCode.NONE
    classic = group.roster[member_id].classic is not None
    return ErrorCode.ILLEGAL_GENERATION if classic else ErrorCode.STALE_MEMBER_EPOCH


def _owned_since(
    group: ConsumerGroup, member_id: str, epoch: int, partitions: Iterable[TopicPartition], topics: Topics
) -> bool:
    current = group.roster.current(member_id)
    for place in partitions:
        topic = topics.find(place.topic)
        if topic is None:
            return False
        owned = {**current.assigned.get(topic.id, {}), **current.pending_revocation.get(topic.id, {})}
        if owned.get(place.partition, epoch + 1) > epoch:
            return False
    return True
