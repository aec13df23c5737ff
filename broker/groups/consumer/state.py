"""
The consumer group protocol (KIP-848) as a state machine: heartbeats and the time go in, answers and records come out.

    Empty ── a member joins ──> Assigning ── a target is reckoned ──> Reconciling ── all members are there ──> Stable
      ^                             ^                                      │                                     │
      └──── the last one goes ──────┴── a subscription, a member, a topic changes: the group epoch rises ────────┘

- The group epoch rises when members or subscriptions change, or the topics behind them. The next heartbeat of whoever
  comes first then reckons the target assignment of that epoch, for all members.
- A heartbeat takes its member one step towards its target (see reconciliation): never do two members own a partition.
- A member is believed in its own epoch; in the one before, too, when it has no more than it was given: the answer that
  told the new epoch may have been lost. Else FENCED_MEMBER_EPOCH: it drops everything and joins anew, with epoch 0.
- A member that rejoins with epoch 0 under its id says that it owns nothing, and is told what it has.
- A static member that leaves with -2 keeps its partitions; who comes under its instance id takes its place. Any other
  newcomer under a known instance id is UNRELEASED_INSTANCE_ID until the session is over.
- Silence for a session, or no revocation within the rebalance timeout: the member is out.

Every event raises KafkaError and then has changed nothing; else `take_records()` has what has to be stored before the
answer is sent. No I/O, no clock.

Source  KIP-848, KIP-1082 (member ids), KIP-1251 (epochs of partitions); Kafka's GroupMetadataManager
"""

from collections import Counter
from hashlib import blake2b

from broker.errors import ErrorCode, KafkaError
from broker.groups.consumer.assignors import ASSIGNORS, MemberSpec
from broker.groups.consumer.patterns import compiled, matching
from broker.groups.consumer.reconciliation import is_subset, reconcile
from broker.groups.consumer.roster import Roster
from broker.groups.consumer.settings import ConsumerGroupSettings
from broker.groups.consumer.stored import ConsumerGroupRecord, StoredConsumerGroup
from broker.groups.consumer.timers import FOREVER, MemberTimers
from broker.groups.consumer.topics import Topics, TopicShape
from broker.groups.consumer.values import (
    LEAVE_EPOCH,
    STATIC_LEAVE_EPOCH,
    ConsumerGroupDescription,
    ConsumerGroupState,
    ConsumerMemberDescription,
    CurrentAssignment,
    GroupEpoch,
    HeartbeatRequest,
    HeartbeatResult,
    MemberMetadata,
    MemberState,
    Partitions,
    ResolvedRegex,
    TargetEpoch,
    numbers,
)
from broker.groups.moment import Moment
from broker.identifiers import TopicId


class ConsumerGroup:
    """One group. `roster` has its members."""

    __slots__ = ("_assigned_at", "_settings", "_timers", "_topics", "_topics_seen", "id", "roster")

    def __init__(
        self,
        group_id: str,
        stored: StoredConsumerGroup,
        *,
        topics: Topics,
        settings: ConsumerGroupSettings,
        at: Moment,
    ) -> None:
        self.id = group_id
        self.roster = Roster(group_id, stored)
        self._topics = topics
        self._settings = settings
        self._topics_seen: int | None = None
        self._assigned_at = -FOREVER
        self._timers: dict[str, MemberTimers] = {}
        for member_id in self.roster:
            self._timers[member_id] = MemberTimers(at.now + self.session_timeout_ms(member_id) / 1000)
            self._time_revocation(member_id, at)

    def __len__(self) -> int:
        return len(self.roster)

    # events

    def heartbeat(self, request: HeartbeatRequest, new_member_id: str, at: Moment) -> HeartbeatResult:
        """*new_member_id* is for a member that joins without one. Raises KafkaError."""
        if request.member_epoch in (LEAVE_EPOCH, STATIC_LEAVE_EPOCH):
            return self._leave(request, at)
        self.refuse_when_full(request.member_id, request.instance_id)
        member_id = request.member_id or new_member_id
        if request.subscribed_regex:
            compiled(request.subscribed_regex)
        replaced = self._recognise(request, member_id)
        if replaced is not None:
            self.take_place(replaced, member_id, at)
        before = self.roster.current(member_id)
        known = self.roster[member_id] if member_id in self.roster else MemberMetadata()
        current = self.admit(member_id, _updated(known, request), request.owned, at)
        tell = request.is_full or numbers(current.assigned) != numbers(before.assigned)
        return HeartbeatResult(
            member_id=member_id,
            member_epoch=current.member_epoch,
            heartbeat_interval_ms=self._settings.heartbeat_interval_ms,
            assignment=numbers(current.assigned) if tell else None,
        )

    def admit(
        self, member_id: str, metadata: MemberMetadata, owned: Partitions | None, at: Moment
    ) -> CurrentAssignment:
        """Takes over what a member says of itself and of what it owns, and takes it one step on."""
        new = member_id not in self.roster
        before = MemberMetadata() if new else self.roster[member_id]
        if new or metadata != before:
            self.roster.put_member(member_id, metadata)
        if new:
            self._timers[member_id] = MemberTimers(FOREVER)
        subscribes_anew = (before.subscribed_names, before.subscribed_regex) != (
            metadata.subscribed_names,
            metadata.subscribed_regex,
        )
        self._look_at_topics(at, changed=new or subscribes_anew)
        self._assign(at)
        current = self.roster.current(member_id)
        following = reconcile(
            current,
            self.roster.target_epoch.epoch,
            self.roster.target(member_id),
            owned,
            lambda topic_id, partition: self.roster.owner(topic_id, partition) not in (None, member_id),
        )
        if new or following != current:
            self.roster.put_current(member_id, following)
            self._time_revocation(member_id, at)
        self.heard(member_id, at)
        return following

    def remove(self, member_ids: list[str], at: Moment) -> None:
        """Members leave or are fenced: one group epoch for all of them."""
        for member_id in member_ids:
            self.roster.remove(member_id)
            del self._timers[member_id]
        # Members that go on among themselves as a classic group do so in the generation that they know.
        if member_ids and not self.becomes_classic:
            self._look_at_topics(at, changed=True)

    def take_place(self, old_id: str, new_id: str, at: Moment) -> None:
        """A static member comes back, or another comes in its stead, under *new_id*."""
        self.roster.replace(old_id, new_id)
        del self._timers[old_id]
        self._timers[new_id] = MemberTimers(FOREVER)
        self._time_revocation(new_id, at)

    def tick(self, at: Moment) -> None:
        """Fences whoever has let a deadline pass."""
        late: list[str] = []
        for member_id, timers in self._timers.items():
            if min(timers.session, timers.join, timers.sync) <= at.now:
                late.append(member_id)
            elif timers.revocation <= at.now:
                timers.revocation = FOREVER
                if self.roster.current(member_id).member_epoch == timers.revocation_epoch:
                    late.append(member_id)
        self.remove(late, at)

    def heard(self, member_id: str, at: Moment) -> None:
        """Starts the member's session anew."""
        self._timers[member_id].session = at.now + self.session_timeout_ms(member_id) / 1000

    def take_records(self) -> list[ConsumerGroupRecord]:
        """What has to be stored, in this order."""
        return self.roster.take_records()

    # questions

    @property
    def state(self) -> ConsumerGroupState:
        if not self.roster:
            return ConsumerGroupState.EMPTY
        target = self.roster.target_epoch.epoch
        if self.roster.epoch.epoch > target:
            return ConsumerGroupState.ASSIGNING
        for member_id in self.roster:
            current = self.roster.current(member_id)
            if current.state is not MemberState.STABLE or current.member_epoch != target:
                return ConsumerGroupState.RECONCILING
        return ConsumerGroupState.STABLE

    @property
    def becomes_classic(self) -> bool:
        """Whether nobody in it speaks the consumer protocol any more, and the classic one is allowed to take over."""
        fits = 0 < len(self.roster) <= self._settings.classic_size_max
        return self._settings.downgrades and fits and self.roster.is_classic_only

    @property
    def assignor(self) -> str:
        """The one that most members ask for; with none, the first that the broker offers."""
        votes = Counter(each.assignor for each in self.roster.metadata() if each.assignor is not None)
        return votes.most_common(1)[0][0] if votes else self._settings.assignors[0]

    def timers(self, member_id: str) -> MemberTimers:
        return self._timers[member_id]

    def next_deadline(self) -> float | None:
        """When `tick` has something to do next, in monotonic seconds."""
        return min((each.next() for each in self._timers.values()), default=None)

    def session_timeout_ms(self, member_id: str) -> int:
        """Classic members bring their own session timeout, the others have the broker's."""
        classic = self.roster[member_id].classic
        return self._settings.session_timeout_ms if classic is None else classic.session_timeout_ms

    def refuse_when_full(self, member_id: str, instance_id: str | None) -> None:
        """Raises KafkaError GROUP_MAX_SIZE_REACHED for a member that would be one too many."""
        known = member_id in self.roster or (instance_id is not None and self.roster.static(instance_id) is not None)
        if not known and len(self.roster) >= self._settings.size_max:
            raise KafkaError(
                ErrorCode.GROUP_MAX_SIZE_REACHED,
                f"The consumer group has reached its maximum capacity of {self._settings.size_max} members.",
            )

    def known_static(self, instance_id: str, member_id: str) -> None:
        """Raises KafkaError unless *instance_id* is *member_id*'s."""
        present = self.roster.static(instance_id)
        if present is None:
            raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, f"Instance id {instance_id} is unknown.")
        if present != member_id:
            raise KafkaError(
                ErrorCode.FENCED_INSTANCE_ID,
                f"Static member {member_id} with instance id {instance_id} was fenced by member {present}.",
            )

    def known(self, member_id: str) -> None:
        """Raises KafkaError UNKNOWN_MEMBER_ID unless *member_id* is in the group."""
        if member_id not in self.roster:
            raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, f"Member {member_id} is not a member of group {self.id}.")

    def subscribed_topics(self) -> frozenset[str]:
        """The names of all topics that somebody is subscribed to, by name or by expression."""
        names = frozenset[str]().union(*(each.subscribed_names for each in self.roster.metadata()))
        return names.union(*(each.topics for each in self.roster.regexes.values()))

    def described(self) -> ConsumerGroupDescription:
        members = tuple(
            ConsumerMemberDescription(
                member_id,
                self.roster[member_id],
                self.roster.current(member_id).member_epoch,
                self.roster.owned(member_id),
                self.roster.target(member_id),
            )
            for member_id in self.roster
        )
        return ConsumerGroupDescription(
            self.id, self.state, self.roster.epoch.epoch, self.roster.target_epoch.epoch, self.assignor, members
        )

    # who it is

    def _recognise(self, request: HeartbeatRequest, member_id: str) -> str | None:
        """The id of the static member whose place *member_id* takes, if it does. Raises KafkaError."""
        if request.instance_id is None:
            if member_id in self.roster:
                self._check_epoch(request, member_id)
            elif request.member_epoch != 0:
                self.known(member_id)
            return None
        present = self.roster.static(request.instance_id)
        if request.member_epoch != 0:
            self.known_static(request.instance_id, member_id)
            self._check_epoch(request, member_id)
            return None
        if present is None:
            return None
        released = self.roster.current(present).member_epoch == STATIC_LEAVE_EPOCH
        if self.roster[present].classic is None and not released:
            raise KafkaError(
                ErrorCode.UNRELEASED_INSTANCE_ID,
                f"Static member {member_id} with instance id {request.instance_id} cannot join the group because the "
                f"instance id is owned by member {present}.",
            )
        return present

    def _check_epoch(self, request: HeartbeatRequest, member_id: str) -> None:
        current = self.roster.current(member_id)
        received, expected = request.member_epoch, current.member_epoch
        if received == expected or received == 0:
            return
        lost_answer = received == current.previous_epoch and is_subset(request.owned, current.assigned)
        if received > expected or not lost_answer:
            raise KafkaError(
                ErrorCode.FENCED_MEMBER_EPOCH,
                f"The consumer group member has a {'greater' if received > expected else 'smaller'} member epoch "
                f"({received}) than the one known by the group coordinator ({expected}). "
                "The member must abandon all its partitions and rejoin.",
            )

    def _leave(self, request: HeartbeatRequest, at: Moment) -> HeartbeatResult:
        member_id = request.member_id
        if request.instance_id is None:
            self.known(member_id)
        else:
            self.known_static(request.instance_id, member_id)
        if request.member_epoch == STATIC_LEAVE_EPOCH:
            current = self.roster.current(member_id)
            self.roster.put_current(member_id, current._replace(member_epoch=STATIC_LEAVE_EPOCH, pending_revocation={}))
            self._timers[member_id].revocation = FOREVER
        else:
            self.remove([member_id], at)
        return HeartbeatResult(member_id=member_id, member_epoch=request.member_epoch)

    # epochs

    def _look_at_topics(self, at: Moment, *, changed: bool) -> None:
        """Begins a new group epoch when the members have *changed*, or the topics that they are subscribed to."""
        if not changed and self._topics_seen == self._topics.changes:
            return
        self._resolve(at)
        hashed = self._topics_hash()
        if changed or hashed != self.roster.epoch.metadata_hash:
            self.roster.put_epoch(GroupEpoch(self.roster.epoch.epoch + 1, hashed))
        self._topics_seen = self._topics.changes

    def _resolve(self, at: Moment) -> None:
        wanted = {each.subscribed_regex for each in self.roster.metadata() if each.subscribed_regex}
        known = self.roster.regexes
        for regex in sorted(known.keys() - wanted):
            self.roster.put_regex(regex, None)
        for regex in sorted(wanted):
            if regex in known and self._topics_seen == self._topics.changes:
                continue
            topics = matching(regex, self._topics)
            if regex not in known or known[regex].topics != topics:
                self.roster.put_regex(regex, ResolvedRegex(topics, self._topics.changes, at.wall_ms))

    def _topics_of(self, metadata: MemberMetadata) -> list[TopicShape]:
        names = metadata.subscribed_names
        if metadata.subscribed_regex and metadata.subscribed_regex in self.roster.regexes:
            names |= self.roster.regexes[metadata.subscribed_regex].topics
        return [topic for name in sorted(names) if (topic := self._topics.find(name)) is not None]

    def _topics_hash(self) -> int:
        topics = {topic.name: topic for each in self.roster.metadata() for topic in self._topics_of(each)}
        if not topics:
            return 0
        digest = blake2b(digest_size=8)
        for name, topic in sorted(topics.items()):
            digest.update(topic.id.bytes + len(topic.partitions).to_bytes(4, "big") + name.encode())
        return int.from_bytes(digest.digest(), "big", signed=True)

    def _assign(self, at: Moment) -> None:
        epoch = self.roster.epoch.epoch
        if self.roster.target_epoch.epoch >= epoch:
            return
        if at.now < self._assigned_at + self._settings.assignment_interval_ms / 1000:
            return
        self._assigned_at = at.now
        counts: dict[TopicId, int] = {}
        specs: dict[str, MemberSpec] = {}
        for member_id in self.roster:
            metadata = self.roster[member_id]
            topics = self._topics_of(metadata)
            counts.update({topic.id: len(topic.partitions) for topic in topics})
            specs[member_id] = MemberSpec(
                metadata.instance_id, frozenset(topic.id for topic in topics), self.roster.target(member_id)
            )
        for member_id, target in ASSIGNORS[self.assignor](specs, counts).items():
            if target != self.roster.target(member_id):
                self.roster.put_target(member_id, target)
        self.roster.put_target_epoch(TargetEpoch(epoch, at.wall_ms))

    def _time_revocation(self, member_id: str, at: Moment) -> None:
        timers, current = self._timers[member_id], self.roster.current(member_id)
        timers.revocation = FOREVER
        if current.state is MemberState.UNREVOKED_PARTITIONS and current.member_epoch != STATIC_LEAVE_EPOCH:
            timers.revocation = at.now + max(0, self.roster[member_id].rebalance_timeout_ms) / 1000
            timers.revocation_epoch = current.member_epoch


def _updated(known: MemberMetadata, request: HeartbeatRequest) -> MemberMetadata:
    """*known*, with everything that the request says; what it leaves out stays."""
    names, regex = request.subscribed_names, request.subscribed_regex
    return MemberMetadata(
        instance_id=known.instance_id if request.instance_id is None else request.instance_id,
        rack_id=known.rack_id if request.rack_id is None else request.rack_id,
        client_id=request.client_id,
        client_host=request.client_host,
        subscribed_names=known.subscribed_names if names is None else names,
        # An empty text takes a subscription by expression back.
        subscribed_regex=known.subscribed_regex if regex is None else regex or None,
        rebalance_timeout_ms=(
            known.rebalance_timeout_ms if request.rebalance_timeout_ms == -1 else request.rebalance_timeout_ms
        ),
        assignor=known.assignor if request.assignor is None else request.assignor,
    )
