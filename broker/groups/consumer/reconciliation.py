"""
One member's next step from what it owns to what it is to own.

A member first gives up, then moves on to the target's epoch, then is given what is free:

    STABLE ── a new target ──> UNREVOKED_PARTITIONS ── it says that it has let go ──┐
      ^  ^                          (stays in its epoch)                            │
      │  └───────── nothing to give up, all of the rest is free ────────────────────┤
      │                                                                             v
      └──────── the others have let go ─────────── UNRELEASED_PARTITIONS <── somebody still has some of the rest

So a partition is never owned by two members: it is given out only when nobody has it, neither for good nor pending
revocation.

Source  KIP-848; Kafka's CurrentAssignmentBuilder
"""

from collections.abc import Callable, Mapping

from broker.groups.consumer.values import CurrentAssignment, MemberState, OwnedPartitions, Partitions
from broker.identifiers import TopicId


def reconcile(
    current: CurrentAssignment,
    target_epoch: int,
    target: Partitions,
    owned: Partitions | None,
    is_taken: Callable[[TopicId, int], bool],
) -> CurrentAssignment:
    """
    What the member has after this heartbeat. *owned* is what it says that it has, None when it does not say;
    *is_taken* tells whether another member has a partition.
    """
    match current.state:
        case MemberState.STABLE:
            if current.member_epoch == target_epoch:
                return current
            return _next(current, current.member_epoch, target_epoch, target, owned, is_taken)
        case MemberState.UNREVOKED_PARTITIONS:
            if _owns(owned, current.pending_revocation):
                return current
            return _next(current, current.member_epoch + 1, target_epoch, target, owned, is_taken)
        case MemberState.UNRELEASED_PARTITIONS:
            return _next(current, current.member_epoch, target_epoch, target, owned, is_taken)


def _next(
    current: CurrentAssignment,
    member_epoch: int,
    target_epoch: int,
    target: Partitions,
    owned: Partitions | None,
    is_taken: Callable[[TopicId, int], bool],
) -> CurrentAssignment:
    kept: dict[TopicId, dict[int, int]] = {}
    revoked: dict[TopicId, dict[int, int]] = {}
    for topic_id, epochs in current.assigned.items():
        wanted = target.get(topic_id, frozenset())
        for partition, epoch in epochs.items():
            place = kept if partition in wanted else revoked
            place.setdefault(topic_id, {})[partition] = epoch
    if revoked and _owns(owned, revoked):
        return CurrentAssignment(
            member_epoch=member_epoch,
            previous_epoch=current.member_epoch,
            state=MemberState.UNREVOKED_PARTITIONS,
            assigned=kept,
            pending_revocation=revoked,
        )
    unreleased = False
    for topic_id, wanted in target.items():
        for partition in sorted(wanted):
            if partition in kept.get(topic_id, ()):
                continue
            if is_taken(topic_id, partition):
                unreleased = True
            else:
                kept.setdefault(topic_id, {})[partition] = target_epoch
    state = MemberState.UNRELEASED_PARTITIONS if unreleased else MemberState.STABLE
    if (state, target_epoch, kept) == (current.state, current.member_epoch, current.assigned):
        # Still waiting for the same partitions: nothing to write down.
        return current
    return CurrentAssignment(member_epoch=target_epoch, previous_epoch=current.member_epoch, state=state, assigned=kept)


def _owns(owned: Partitions | None, some: OwnedPartitions) -> bool:
    """Whether the member may still have one of *some*; one that does not say may."""
    if owned is None:
        return True
    return any(not partitions.isdisjoint(some.get(topic_id, ())) for topic_id, partitions in owned.items())


def is_subset(owned: Partitions | None, assigned: Mapping[TopicId, Mapping[int, int]]) -> bool:
    """Whether all that a member says it has is assigned to it; a member that does not say has not shown it."""
    if owned is None:
        return False
    return all(partitions <= assigned.get(topic_id, {}).keys() for topic_id, partitions in owned.items())
