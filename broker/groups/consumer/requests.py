"""Which heartbeats make sense at all, whatever the group."""

from collections.abc import Sequence

from broker.errors import ErrorCode, KafkaError
from broker.groups.consumer.values import LEAVE_EPOCH, STATIC_LEAVE_EPOCH, HeartbeatRequest


def check_heartbeat(request: HeartbeatRequest, assignors: Sequence[str]) -> None:
    """Raises KafkaError INVALID_REQUEST or UNSUPPORTED_ASSIGNOR, with Kafka's words."""
    _present(request.group_id, "GroupId")
    if request.makes_member_id or request.member_epoch != 0:
        _present(request.member_id, "MemberId")
    _present(request.instance_id, "InstanceId")
    _present(request.rack_id, "RackId")
    if request.member_epoch == 0:
        _check_first(request)
    elif request.member_epoch == STATIC_LEAVE_EPOCH and request.instance_id is None:
        raise _invalid("InstanceId can't be null.")
    elif request.member_epoch < 0 and request.member_epoch not in (LEAVE_EPOCH, STATIC_LEAVE_EPOCH):
        raise _invalid(f"MemberEpoch {request.member_epoch} is invalid.")
    if request.assignor is not None and request.assignor not in assignors:
        raise KafkaError(
            ErrorCode.UNSUPPORTED_ASSIGNOR,
            f"ServerAssignor {request.assignor} is not supported. Supported assignors: {', '.join(assignors)}.",
        )


def _check_first(request: HeartbeatRequest) -> None:
    if request.rebalance_timeout_ms == -1:
        raise _invalid("RebalanceTimeoutMs must be provided in first request.")
    if request.owned is None or request.owned:
        raise _invalid("TopicPartitions must be empty when (re-)joining.")
    if request.subscribed_names is None and request.subscribed_regex is None:
        # Empty ones will do: a member may be in the group without reading anything yet.
        raise _invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")


def _present(text: str | None, what: str) -> None:
    if text == "" or (text is not None and text.isspace()):
        raise _invalid(f"{what} can't be empty.")


def _invalid(message: str) -> KafkaError:
    return KafkaError(ErrorCode.INVALID_REQUEST, message)
