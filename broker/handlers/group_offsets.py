"""
OffsetCommit (key 8), v2-10: where a group goes on reading.

Behaviour
  - From a member of the current generation, or with generation -1 and no member id from a consumer that assigns itself.
  - As durable as records: with log.flush.before.ack the answer waits until the commit is on the disk. When the fsync
    fails, COORDINATOR_NOT_AVAILABLE: the commit may be there after a restart.
  - A partition that is not there: UNKNOWN_TOPIC_OR_PARTITION (UNKNOWN_TOPIC_ID from v10); the others are committed.
    Metadata above offset.metadata.max.bytes: OFFSET_METADATA_TOO_LARGE.
Version notes
  - v2-4 a retention time, which is ignored as Kafka does; v6 leader epochs (KIP-320); v7 static members; v10 topic ids
    (KIP-848 consumers)

OffsetFetch (key 9), v1-10: what a group has committed.

Behaviour
  - A partition without a commit: offset -1, no error. Null topics (v2): everything that the group has.
  - With require_stable, a partition for which an open transaction has staged an offset: UNSTABLE_OFFSET_COMMIT.
Version notes
  - v7 require_stable (KIP-447); v8 several groups (KIP-709); v9 member and epoch (KIP-848); v10 topic ids

OffsetDelete (key 47), v0: forgets commits of topics that the group does not subscribe to (KIP-496):
GROUP_SUBSCRIBED_TO_TOPIC.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from broker.errors import ErrorCode
from broker.groups import CommitRequest, CommittedOffset, OffsetToCommit
from broker.handlers.context import BrokerState, RequestContext
from broker.handlers.pending import Pending
from broker.identifiers import TopicId, TopicPartition
from broker.topics import Topic
from broker.transactions import GROUP_OFFSETS_TOPIC
from broker.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)


@dataclass(frozen=True, slots=True)
class _Commit:
    """One partition of a commit request that goes to the coordinator."""

    partition: TopicPartition
    response: OffsetCommitResponsePartition


def handle_offset_commit(
    context: RequestContext, request: OffsetCommitRequest
) -> OffsetCommitResponse | Pending[OffsetCommitResponse]:
    offsets: dict[TopicPartition, OffsetToCommit] = {}
    commits: list[_Commit] = []
    topics = [_commit_topic(context, asked, offsets, commits) for asked in request.topics]
    if offsets:
        errors = context.broker.groups.commit_offsets(
            CommitRequest(
                group_id=request.group_id,
                member_id=request.member_id,
                instance_id=request.group_instance_id,
                generation=request.generation_id_or_member_epoch,
                knows_member_epochs=context.version >= 9,
                offsets=offsets,
            )
        )
        for commit in commits:
            commit.response.error_code = errors[commit.partition]
    written = [commit.response for commit in commits if not commit.response.error_code]
    return _when_flushed(context.broker, OffsetCommitResponse(topics=topics), written)


def _when_flushed(
    broker: BrokerState, response: OffsetCommitResponse, written: Sequence[OffsetCommitResponsePartition]
) -> OffsetCommitResponse | Pending[OffsetCommitResponse]:
    topic = broker.catalog.find(GROUP_OFFSETS_TOPIC)
    if not written or topic is None or not topic.config.flush_before_ack:
        return response
    pending: Pending[OffsetCommitResponse] = Pending()

    def flushed(error: ErrorCode) -> None:
        if error:
            for answer in written:
                answer.error_code = ErrorCode.COORDINATOR_NOT_AVAILABLE
        pending.complete(response)

    partition = topic.partitions[0]
    broker.flushes.wait(partition, partition.log.next_offset - 1, flushed)
    return pending


def _commit_topic(
    context: RequestContext,
    asked: OffsetCommitRequestTopic,
    offsets: dict[TopicPartition, OffsetToCommit],
    commits: list[_Commit],
) -> OffsetCommitResponseTopic:
    topic = _find(context, asked.name, asked.topic_id)
    response = OffsetCommitResponseTopic(name=asked.name, topic_id=asked.topic_id)
    partitions: list[OffsetCommitResponsePartition] = []
    for each in asked.partitions:
        answer = OffsetCommitResponsePartition(partition_index=each.partition_index)
        partitions.append(answer)
        if topic is None:
            answer.error_code = _unknown_topic(context)
        elif not 0 <= each.partition_index < len(topic.partitions):
            answer.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        else:
            place = TopicPartition(topic.name, each.partition_index)
            offsets[place] = OffsetToCommit(
                each.committed_offset, each.committed_leader_epoch, each.committed_metadata or ""
            )
            commits.append(_Commit(place, answer))
    response.partitions = partitions
    return response


def _by_id(context: RequestContext) -> bool:
    return context.version >= 10


def _find(context: RequestContext, name: str, topic_id: UUID) -> Topic | None:
    catalog = context.broker.catalog
    return catalog.find_by_id(TopicId(topic_id)) if _by_id(context) else catalog.find(name)


def _unknown_topic(context: RequestContext) -> ErrorCode:
    return ErrorCode.UNKNOWN_TOPIC_ID if _by_id(context) else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


_NO_COMMIT = CommittedOffset(-1, -1, "", -1)


def handle_offset_fetch(context: RequestContext, request: OffsetFetchRequest) -> OffsetFetchResponse:
    if context.version >= 8:
        return OffsetFetchResponse(
            groups=[_fetch_group(context, group, require_stable=request.require_stable) for group in request.groups]
        )
    fetched = context.broker.groups.fetch_offsets(request.group_id, None)
    if fetched.error:
        # Up to v1 only partitions have errors; the answer then says it for each of them.
        return OffsetFetchResponse(
            error_code=fetched.error,
            topics=[
                OffsetFetchResponseTopic(
                    name=topic.name,
                    partitions=[
                        OffsetFetchResponsePartition(
                            partition_index=index, committed_offset=-1, error_code=fetched.error
                        )
                        for index in topic.partition_indexes
                    ],
                )
                for topic in request.topics or ()
            ],
        )
    unstable = fetched.unstable if request.require_stable else frozenset[TopicPartition]()
    asked = _asked(fetched.offsets, unstable) if request.topics is None else _named(request.topics)
    return OffsetFetchResponse(
        topics=[
            OffsetFetchResponseTopic(
                name=name,
                partitions=[
                    OffsetFetchResponsePartition(
                        partition_index=index,
                        committed_offset=found.offset,
                        committed_leader_epoch=found.leader_epoch,
                        metadata=found.metadata,
                        error_code=error,
                    )
                    for index, found, error in _lookup(fetched.offsets, unstable, name, indexes)
                ],
            )
            for name, indexes in asked
        ]
    )


def _fetch_group(
    context: RequestContext, group: OffsetFetchRequestGroup, *, require_stable: bool
) -> OffsetFetchResponseGroup:
    groups = context.broker.groups
    error = groups.refuse_fetch(group.group_id, group.member_id, group.member_epoch)
    fetched = groups.fetch_offsets(group.group_id, None)
    response = OffsetFetchResponseGroup(group_id=group.group_id, error_code=error or fetched.error)
    if response.error_code:
        return response
    unstable = fetched.unstable if require_stable else frozenset[TopicPartition]()
    topics: list[OffsetFetchResponseTopics] = []
    if group.topics is None:
        for name, indexes in _asked(fetched.offsets, unstable):
            topic = context.broker.catalog.find(name)
            if topic is None and _by_id(context):
                # Offsets of a topic that is gone have no id to be answered under.
                continue
            topic_id = TopicId(UUID(int=0)) if topic is None else topic.id
            topics.append(_fetched_topic(name, topic_id, fetched.offsets, unstable, indexes))
    else:
        for asked in group.topics:
            topic = _find(context, asked.name, asked.topic_id)
            if topic is None and _by_id(context):
                topics.append(
                    OffsetFetchResponseTopics(
                        topic_id=asked.topic_id,
                        partitions=[
                            OffsetFetchResponsePartitions(
                                partition_index=index,
                                committed_offset=-1,
                                committed_leader_epoch=-1,
                                error_code=ErrorCode.UNKNOWN_TOPIC_ID,
                            )
                            for index in asked.partition_indexes
                        ],
                    )
                )
                continue
            name = asked.name if topic is None else topic.name
            topics.append(_fetched_topic(name, asked.topic_id, fetched.offsets, unstable, asked.partition_indexes))
    response.topics = topics
    return response


def _fetched_topic(
    name: str,
    topic_id: UUID,
    offsets: Mapping[TopicPartition, CommittedOffset],
    unstable: frozenset[TopicPartition],
    indexes: Sequence[int],
) -> OffsetFetchResponseTopics:
    return OffsetFetchResponseTopics(
        name=name,
        topic_id=topic_id,
        partitions=[
            OffsetFetchResponsePartitions(
                partition_index=index,
                committed_offset=found.offset,
                committed_leader_epoch=found.leader_epoch,
                metadata=found.metadata,
                error_code=error,
            )
            for index, found, error in _lookup(offsets, unstable, name, indexes)
        ],
    )


def _asked(
    offsets: Mapping[TopicPartition, CommittedOffset], unstable: frozenset[TopicPartition]
) -> list[tuple[str, list[int]]]:
    """Everything that is committed, or is about to be, by topic."""
    by_topic: dict[str, list[int]] = {}
    for place in (*offsets, *sorted(unstable - offsets.keys())):
        by_topic.setdefault(place.topic, []).append(place.partition)
    return list(by_topic.items())


def _named(topics: Sequence[OffsetFetchRequestTopic]) -> list[tuple[str, list[int]]]:
    return [(topic.name, list(topic.partition_indexes)) for topic in topics]


def _lookup(
    offsets: Mapping[TopicPartition, CommittedOffset],
    unstable: frozenset[TopicPartition],
    topic: str,
    indexes: Sequence[int],
) -> Iterator[tuple[int, CommittedOffset, ErrorCode]]:
    for index in indexes:
        place = TopicPartition(topic, index)
        if place in unstable:
            yield index, _NO_COMMIT, ErrorCode.UNSTABLE_OFFSET_COMMIT
        else:
            yield index, offsets.get(place, _NO_COMMIT), ErrorCode.NONE


def handle_offset_delete(context: RequestContext, request: OffsetDeleteRequest) -> OffsetDeleteResponse:
    partitions = [
        TopicPartition(topic.name, each.partition_index) for topic in request.topics for each in topic.partitions
    ]
    error, errors = context.broker.groups.delete_offsets(request.group_id, partitions)
    if error:
        return OffsetDeleteResponse(error_code=error)
    return OffsetDeleteResponse(
        topics=[
            OffsetDeleteResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetDeleteResponsePartition(
                        partition_index=each.partition_index,
                        error_code=_delete_error(context.broker, topic.name, each.partition_index, errors),
                    )
                    for each in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )


def _delete_error(
    broker: BrokerState, topic_name: str, index: int, errors: Mapping[TopicPartition, ErrorCode]
) -> ErrorCode:
    topic = broker.catalog.find(topic_name)
    if topic is None or not 0 <= index < len(topic.partitions):
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    return errors[TopicPartition(topic_name, index)]
