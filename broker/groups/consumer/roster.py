"""Who is in a consumer group and who has what: the stored state, what follows from it, and the new records."""

from collections.abc import Iterator

from broker.groups.consumer.stored import (
    ConsumerGroupRecord,
    CurrentRecord,
    GroupEpochRecord,
    MemberRecord,
    RegexRecord,
    StoredConsumerGroup,
    TargetEpochRecord,
    TargetRecord,
)
from broker.groups.consumer.values import (
    CurrentAssignment,
    GroupEpoch,
    MemberMetadata,
    Partitions,
    ResolvedRegex,
    TargetEpoch,
    numbers,
)
from broker.identifiers import TopicId

_NOTHING: Partitions = {}
_NEW = CurrentAssignment()


class Roster:
    """
    Every change goes through one of the `put` methods: it is applied here, and waits in `take_records` to be stored.

    Owner   the member that has a partition, for good or pending revocation; there is at most one.
    """

    __slots__ = ("_group_id", "_owners", "_records", "_static", "_stored")

    def __init__(self, group_id: str, stored: StoredConsumerGroup) -> None:
        self._group_id = group_id
        self._stored = stored
        self._records: list[ConsumerGroupRecord] = []
        self._static: dict[str, str] = {}
        self._owners: dict[TopicId, dict[int, str]] = {}
        for member_id, metadata in stored.members.items():
            if metadata.instance_id is not None:
                self._static[metadata.instance_id] = member_id
        for member_id in list(stored.current):
            if member_id in stored.members:
                self._own(member_id, stored.current[member_id])
            else:
                del stored.current[member_id]

    def __len__(self) -> int:
        return len(self._stored.members)

    def __contains__(self, member_id: str) -> bool:
        return member_id in self._stored.members

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored.members)

    def __getitem__(self, member_id: str) -> MemberMetadata:
        return self._stored.members[member_id]

    @property
    def epoch(self) -> GroupEpoch:
        return self._stored.epoch

    @property
    def target_epoch(self) -> TargetEpoch:
        return self._stored.target_epoch

    @property
    def regexes(self) -> dict[str, ResolvedRegex]:
        """Read only."""
        return self._stored.regexes

    def metadata(self) -> list[MemberMetadata]:
        return list(self._stored.members.values())

    def static(self, instance_id: str) -> str | None:
        """The member id of an instance."""
        return self._static.get(instance_id)

    def current(self, member_id: str) -> CurrentAssignment:
        """A member that is not there yet has nothing, in epoch 0."""
        return self._stored.current.get(member_id, _NEW)

    def target(self, member_id: str) -> Partitions:
        return self._stored.targets.get(member_id, _NOTHING)

    def owned(self, member_id: str) -> Partitions:
        """What a member has, pending revocation included."""
        current = self.current(member_id)
        owned = dict(numbers(current.assigned))
        for topic_id, partitions in numbers(current.pending_revocation).items():
            owned[topic_id] = owned.get(topic_id, frozenset()) | partitions
        return owned

    @property
    def is_classic_only(self) -> bool:
        """Whether nobody speaks the consumer protocol."""
        return all(each.classic is not None for each in self._stored.members.values())

    def owner(self, topic_id: TopicId, partition: int) -> str | None:
        return self._owners.get(topic_id, {}).get(partition)

    def snapshot(self) -> StoredConsumerGroup:
        return self._stored.copy()

    def put_member(self, member_id: str, metadata: MemberMetadata) -> None:
        if metadata.instance_id is not None:
            self._static[metadata.instance_id] = member_id
        self._put(MemberRecord(self._group_id, member_id, metadata))

    def put_current(self, member_id: str, current: CurrentAssignment) -> None:
        self._disown(member_id, self.current(member_id))
        self._own(member_id, current)
        self._put(CurrentRecord(self._group_id, member_id, current))

    def put_target(self, member_id: str, target: Partitions) -> None:
        self._put(TargetRecord(self._group_id, member_id, target))

    def put_epoch(self, epoch: GroupEpoch) -> None:
        self._put(GroupEpochRecord(self._group_id, epoch))

    def put_target_epoch(self, epoch: TargetEpoch) -> None:
        self._put(TargetEpochRecord(self._group_id, epoch))

    def put_regex(self, regex: str, resolved: ResolvedRegex | None) -> None:
        self._put(RegexRecord(self._group_id, regex, resolved))

    def remove(self, member_id: str) -> None:
        """Forgets a member; its partitions are free."""
        metadata = self._stored.members[member_id]
        # A replaced static member leaves its instance to its successor.
        if metadata.instance_id is not None and self._static.get(metadata.instance_id) == member_id:
            del self._static[metadata.instance_id]
        self._disown(member_id, self.current(member_id))
        self._put(CurrentRecord(self._group_id, member_id, None))
        self._put(TargetRecord(self._group_id, member_id, None))
        self._put(MemberRecord(self._group_id, member_id, None))

    def replace(self, old_id: str, new_id: str) -> None:
        """Gives a static member that came back its new id: it has all that it had, and begins again in epoch 0."""
        metadata, target, current = self[old_id], self.target(old_id), self.current(old_id)
        self.remove(old_id)
        self.put_member(new_id, metadata)
        self.put_target(new_id, target)
        self.put_current(
            new_id,
            CurrentAssignment(
                state=current.state, assigned=current.assigned, pending_revocation=current.pending_revocation
            ),
        )

    def clear(self) -> None:
        """Takes everything back, the group itself included."""
        for record in list(self._stored.tombstones(self._group_id)):
            self._put(record)
        self._owners.clear()
        self._static.clear()

    def take_records(self) -> list[ConsumerGroupRecord]:
        """What has changed since the last time."""
        records, self._records = self._records, []
        return records

    def _put(self, record: ConsumerGroupRecord) -> None:
        self._stored.apply(record)
        self._records.append(record)

    def _own(self, member_id: str, current: CurrentAssignment) -> None:
        for owned in (current.assigned, current.pending_revocation):
            for topic_id, partitions in owned.items():
                owners = self._owners.setdefault(topic_id, {})
                for partition in partitions:
                    owners[partition] = member_id

    def _disown(self, member_id: str, current: CurrentAssignment) -> None:
        for owned in (current.assigned, current.pending_revocation):
            for topic_id, partitions in owned.items():
                owners = self._owners.get(topic_id, {})
                for partition in partitions:
                    if owners.get(partition) == member_id:
                        del owners[partition]
