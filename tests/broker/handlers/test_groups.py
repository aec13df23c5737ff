"""Groups and their offsets through the wire's messages; the rules themselves are tested in tests/broker/groups."""

from uuid import UUID

from broker.errors import ErrorCode
from broker.handlers.pending import Pending
from broker.wire.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from broker.wire.messages.group_admin import (
    DeleteGroupsRequest,
    DeleteGroupsResponse,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
    ListGroupsRequest,
    ListGroupsResponse,
)
from broker.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
)
from broker.wire.messages.groups import (
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    JoinGroupResponse,
    LeaveGroupRequest,
    LeaveGroupResponse,
    MemberIdentity,
    SyncGroupRequest,
    SyncGroupRequestAssignment,
    SyncGroupResponse,
)
from broker.wire.messages.transactions import InitProducerIdRequest, InitProducerIdResponse
from tests.broker.handlers.conftest import InProcessBroker


def join_request(member_id: str = "", group: str = "g") -> JoinGroupRequest:
    return JoinGroupRequest(
        group_id=group,
        session_timeout_ms=10_000,
        rebalance_timeout_ms=60_000,
        member_id=member_id,
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol(name="range", metadata=b"meta")],
    )


def join(broker: InProcessBroker) -> str:
    """A member of its own group, through the two joins of v4 and above; its id."""
    first = broker.call(join_request(), JoinGroupResponse, 9)
    assert first.error_code == ErrorCode.MEMBER_ID_REQUIRED
    joined = broker.call(join_request(first.member_id), JoinGroupResponse, 9)
    assert (joined.error_code, joined.generation_id, joined.leader) == (ErrorCode.NONE, 1, first.member_id)
    assert [member.metadata for member in joined.members] == [b"meta"]
    assignment = SyncGroupRequestAssignment(member_id=first.member_id, assignment=b"all of it")
    sync = SyncGroupRequest(
        group_id="g",
        generation_id=1,
        member_id=first.member_id,
        protocol_type="consumer",
        protocol_name="range",
        assignments=[assignment],
    )
    assert broker.call(sync, SyncGroupResponse).assignment == b"all of it"
    return first.member_id


def test_a_member_joins_syncs_beats_and_leaves(in_process: InProcessBroker) -> None:
    """And the group is described, listed and deleted on the way."""
    member = join(in_process)
    beat = HeartbeatRequest(group_id="g", generation_id=1, member_id=member)
    assert in_process.call(beat, HeartbeatResponse).error_code == ErrorCode.NONE
    described = in_process.call(DescribeGroupsRequest(groups=["g", "nope"]), DescribeGroupsResponse).groups
    assert [(group.group_state, group.error_code) for group in described] == [
        ("Stable", ErrorCode.NONE),
        ("Dead", ErrorCode.GROUP_ID_NOT_FOUND),
    ]
    assert described[0].members[0].member_assignment == b"all of it"
    assert described[0].members[0].client_host == "/127.0.0.1"
    listed = in_process.call(ListGroupsRequest(states_filter=["stable"]), ListGroupsResponse).groups
    assert [(group.group_id, group.group_type) for group in listed] == [("g", "classic")]
    assert not in_process.call(ListGroupsRequest(types_filter=["share"]), ListGroupsResponse).groups
    delete = DeleteGroupsRequest(groups_names=["g"])
    assert in_process.call(delete, DeleteGroupsResponse).results[0].error_code == ErrorCode.NON_EMPTY_GROUP
    leave = LeaveGroupRequest(group_id="g", members=[MemberIdentity(member_id=member)])
    assert in_process.call(leave, LeaveGroupResponse).members[0].error_code == ErrorCode.NONE
    assert in_process.call(beat, HeartbeatResponse).error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert in_process.call(delete, DeleteGroupsResponse).results[0].error_code == ErrorCode.NONE


def test_leave_of_old_versions_has_its_one_error_on_top(in_process: InProcessBroker) -> None:
    """v0-2 name one member, and the answer has one error."""
    leave = LeaveGroupRequest(group_id="g", member_id="stranger")
    assert in_process.call(leave, LeaveGroupResponse, 1).error_code == ErrorCode.UNKNOWN_MEMBER_ID
    member = join(in_process)
    leave = LeaveGroupRequest(group_id="g", member_id=member)
    assert in_process.call(leave, LeaveGroupResponse, 1).error_code == ErrorCode.NONE


def test_a_join_that_waits_is_detached_with_its_connection(in_process: InProcessBroker) -> None:
    """A follower's sync waits for the leader's; when its connection closes nothing is answered."""
    first = in_process.call(join_request(), JoinGroupResponse, 3)
    waiting = in_process.ask(join_request(), 3, owner="second connection")
    assert isinstance(waiting, Pending)
    assert not waiting.completed
    in_process.state.groups.detach("second connection")
    in_process.ask(join_request(first.member_id), 3)
    in_process.clock.advance_ms(120_000)
    in_process.state.groups.expire(in_process.clock.monotonic())
    assert not waiting.completed


def commit_request(topic_id: UUID | None = None, *, offset: int = 7, **fields: object) -> OffsetCommitRequest:
    partitions = [
        OffsetCommitRequestPartition(
            partition_index=index, committed_offset=offset, committed_leader_epoch=0, committed_metadata="note"
        )
        for index in (0, 5)
    ]
    topics = [
        OffsetCommitRequestTopic(name="t", partitions=partitions)
        if topic_id is None
        else OffsetCommitRequestTopic(topic_id=topic_id, partitions=partitions)
    ]
    request = OffsetCommitRequest(group_id="g", topics=topics)
    for name, value in fields.items():
        setattr(request, name, value)
    return request


def test_offsets_are_committed_and_fetched_in_old_and_new_versions(in_process: InProcessBroker) -> None:
    """By name and by id, with metadata; a partition that is not there is refused beside one that is."""
    topic = in_process.state.catalog.create("t", 2, {})
    for version, topic_id in ((9, None), (10, topic.id)):
        answer = in_process.call(commit_request(topic_id), OffsetCommitResponse, version).topics[0]
        assert [each.error_code for each in answer.partitions] == [
            ErrorCode.NONE,
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ]
    asked = OffsetFetchRequest(group_id="g", topics=[OffsetFetchRequestTopic(name="t", partition_indexes=[0, 1])])
    old = in_process.call(asked, OffsetFetchResponse, 5).topics[0].partitions
    assert [(each.committed_offset, each.metadata, each.error_code) for each in old] == [(7, "note", 0), (-1, "", 0)]
    every = in_process.call(OffsetFetchRequest(group_id="g", topics=None), OffsetFetchResponse, 5)
    assert [(each.name, len(each.partitions)) for each in every.topics] == [("t", 1)]
    groups = [
        OffsetFetchRequestGroup(
            group_id="g", topics=[OffsetFetchRequestTopics(topic_id=topic.id, partition_indexes=[0])]
        ),
        OffsetFetchRequestGroup(group_id="nope", topics=None),
        OffsetFetchRequestGroup(
            group_id="g", topics=[OffsetFetchRequestTopics(topic_id=UUID(int=9), partition_indexes=[0])]
        ),
    ]
    new = in_process.call(OffsetFetchRequest(groups=groups), OffsetFetchResponse, 10).groups
    assert new[0].topics[0].partitions[0].committed_offset == 7
    assert not new[1].topics
    assert new[2].topics[0].partitions[0].error_code == ErrorCode.UNKNOWN_TOPIC_ID


def test_a_commit_of_an_old_generation_is_refused(in_process: InProcessBroker) -> None:
    """A zombie must not move the group back."""
    in_process.state.catalog.create("t", 1, {})
    member = join(in_process)
    stale = commit_request(generation_id_or_member_epoch=0, member_id=member)
    answer = in_process.call(stale, OffsetCommitResponse, 9).topics[0].partitions[0]
    assert answer.error_code == ErrorCode.ILLEGAL_GENERATION
    stranger = commit_request(generation_id_or_member_epoch=1, member_id="stranger")
    answer = in_process.call(stranger, OffsetCommitResponse, 9).topics[0].partitions[0]
    assert answer.error_code == ErrorCode.UNKNOWN_MEMBER_ID


def test_offsets_of_a_group_are_deleted(in_process: InProcessBroker) -> None:
    """By partition, and with the topic."""
    topic = in_process.state.catalog.create("t", 2, {})
    in_process.call(commit_request(), OffsetCommitResponse, 9)
    partitions = [OffsetDeleteRequestPartition(partition_index=index) for index in (0, 9)]
    request = OffsetDeleteRequest(group_id="g", topics=[OffsetDeleteRequestTopic(name="t", partitions=partitions)])
    answer = in_process.call(request, OffsetDeleteResponse)
    assert [each.error_code for each in answer.topics[0].partitions] == [
        ErrorCode.NONE,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ]
    asked = OffsetFetchRequest(group_id="g", topics=None)
    assert not in_process.call(asked, OffsetFetchResponse, 5).topics
    in_process.call(commit_request(), OffsetCommitResponse, 9)
    in_process.state.groups.topic_deleted(topic.name)
    assert not in_process.call(asked, OffsetFetchResponse, 5).topics
    nobody = OffsetDeleteRequest(group_id="nope", topics=[])
    assert in_process.call(nobody, OffsetDeleteResponse).error_code == ErrorCode.GROUP_ID_NOT_FOUND


def test_the_coordinator_of_everything_is_this_broker(in_process: InProcessBroker) -> None:
    """One key below v4, several from there on; share groups are not served."""
    one = in_process.call(FindCoordinatorRequest(key="g"), FindCoordinatorResponse, 3)
    assert (one.error_code, one.node_id, one.port) == (ErrorCode.NONE, 1, 9092)
    several = in_process.call(
        FindCoordinatorRequest(key_type=1, coordinator_keys=["a", "b"]), FindCoordinatorResponse, 4
    )
    assert [(each.key, each.node_id) for each in several.coordinators] == [("a", 1), ("b", 1)]
    share = in_process.call(FindCoordinatorRequest(key_type=2, coordinator_keys=["a"]), FindCoordinatorResponse, 6)
    assert share.coordinators[0].error_code == ErrorCode.INVALID_REQUEST


def init(broker: InProcessBroker, **fields: object) -> InitProducerIdResponse:
    request = InitProducerIdRequest(transactional_id=None)
    for name, value in fields.items():
        setattr(request, name, value)
    return broker.call(request, InitProducerIdResponse)


def test_a_producer_gets_an_id_and_the_next_epoch_when_it_has_to_begin_anew(in_process: InProcessBroker) -> None:
    """KIP-360; an id that was never given is replaced, and so is one whose epochs are used up."""
    first = init(in_process)
    assert (first.error_code, first.producer_epoch) == (ErrorCode.NONE, 0)
    again = init(in_process, producer_id=first.producer_id, producer_epoch=0)
    assert (again.producer_id, again.producer_epoch) == (first.producer_id, 1)
    used_up = init(in_process, producer_id=first.producer_id, producer_epoch=0x7FFE)
    assert used_up.producer_id != first.producer_id
    assert init(in_process, producer_id=10**12, producer_epoch=0).producer_id < 10**12
