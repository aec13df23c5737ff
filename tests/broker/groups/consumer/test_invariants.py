"""Any mixture of members of both protocols, topics that change, lost answers, restarts and full disks."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.groups.consumer.state import ConsumerGroup
from broker.identifiers import TopicId
from tests.broker.groups.consumer.classic import ClassicConsumer
from tests.broker.groups.consumer.harness import Consumer, ConsumerWorld

SLOTS = 6
STATIC = (0, 1)
CLASSIC = (4, 5)
TOPICS = ("t", "u", "ux")

_slots = st.integers(0, SLOTS - 1)
_new_slots = st.sampled_from([slot for slot in range(SLOTS) if slot not in CLASSIC])
_subscriptions = st.sampled_from(
    [({"t"}, None), ({"t", "u"}, None), (set[str](), "u.*"), ({"t"}, "u"), (set[str](), "")]
)


class ConsumerGroupLives(RuleBasedStateMachine):
    """
    Six consumers of one group, two of them static, two of them classic. Checked all the time: no partition has two
    owners; what a member in good standing uses is its own; epochs never go back. And whoever goes on reporting gets
    everything in the end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.world = ConsumerWorld()
        self.world.topics.put("u", 3)
        self.processes = 0
        self.members: list[Consumer | ClassicConsumer] = [self.process(slot) for slot in range(SLOTS)]
        self.alive = [False] * SLOTS
        self.group: ConsumerGroup | None = None
        self.epochs = (0, 0)

    def process(self, slot: int) -> Consumer | ClassicConsumer:
        self.processes += 1
        if slot in CLASSIC:
            return ClassicConsumer(self.world, f"k{self.processes}", cooperative=slot == CLASSIC[0])
        instance_id = f"i{slot}" if slot in STATIC else None
        return Consumer(self.world, f"n{self.processes}", instance_id=instance_id, rebalance_timeout_ms=20_000)

    @rule(slot=_slots)
    def beat(self, slot: int) -> None:
        self.alive[slot] = True
        self.members[slot].beat()

    @rule(slots=st.sets(_slots, min_size=1))
    def several_beat(self, slots: set[int]) -> None:
        for slot in sorted(slots):
            self.beat(slot)

    @rule(slot=_new_slots)
    def beat_whose_answer_is_lost(self, slot: int) -> None:
        member = self.members[slot]
        if isinstance(member, Consumer) and member.epoch > 0:
            member.send(owned=member.owned)
            member.unsure = True

    @rule(slot=_new_slots, subscription=_subscriptions)
    def subscribe(self, slot: int, subscription: tuple[set[str], str | None]) -> None:
        member = self.members[slot]
        assert isinstance(member, Consumer)
        member.topics, member.regex = subscription
        if member.epoch > 0:
            member.take(member.send(owned=member.owned, topics=frozenset(subscription[0]), regex=subscription[1] or ""))

    @rule(slot=_slots)
    def kill(self, slot: int) -> None:
        """SIGKILL, and a new process that nobody has heard of yet."""
        self.world.coordinator.detach(self.members[slot])
        self.members[slot] = self.process(slot)
        self.alive[slot] = False

    @rule(slot=_slots, back=st.booleans())
    def leave(self, slot: int, back: bool) -> None:
        member = self.members[slot]
        if isinstance(member, ClassicConsumer):
            if not member.waits:
                member.leave()
        elif member.epoch > 0:
            member.leave(epoch=-2 if back and slot in STATIC else -1)
        self.kill(slot)

    @rule(name=st.sampled_from(TOPICS), partitions=st.integers(1, 7))
    def create_or_widen(self, name: str, partitions: int) -> None:
        known = self.world.topics.find(name)
        self.world.topics.put(name, max(partitions, len(known.partitions) if known else 0))

    @rule(name=st.sampled_from(TOPICS[1:]))
    def delete(self, name: str) -> None:
        if self.world.topics.find(name) is not None:
            self.world.topics.remove(name)

    @rule(milliseconds=st.sampled_from([1, 1_000, 9_000, 19_000, 46_000]))
    def pass_time(self, milliseconds: int) -> None:
        self.world.advance(milliseconds)

    @rule()
    def restart(self) -> None:
        for member in self.members:
            if isinstance(member, ClassicConsumer) and member.waits:
                member.waits, member.generation = False, -1
        self.world.restart()
        self.group = None

    @rule(slot=_slots)
    def beat_on_a_full_disk(self, slot: int) -> None:
        self.world.log.refuses = True
        self.members[slot].beat()
        self.world.log.refuses = False
        self.alive[slot] = True

    @rule()
    def go_on(self) -> None:
        """Those who are alive report every second; all others are out by then."""
        living = [member for slot, member in enumerate(self.members) if self.alive[slot]]
        for _ in range(60):
            self.world.advance(1_000)
            for member in living:
                member.beat()
        group = self.group_now()
        if not living or group is None:
            return
        assert self.world.state() == "Stable"
        wanted = {
            (topic.id, partition)
            for name in group.subscribed_topics()
            if (topic := self.world.topics.find(name)) is not None
            for partition in topic.partitions
        }
        used = [place for member in living for place in self.used(member)]
        assert len(used) == len(set(used))
        assert set(used) == wanted

    def used(self, member: Consumer | ClassicConsumer) -> list[tuple[TopicId, int]]:
        if isinstance(member, ClassicConsumer):
            topic = self.world.topics.find("t")
            return [] if topic is None else [(topic.id, partition) for partition in member.owned]
        return [(topic_id, partition) for topic_id, partitions in member.owned.items() for partition in partitions]

    def group_now(self) -> ConsumerGroup | None:
        return self.world.coordinator._consumers.find("g")

    @invariant()
    def a_partition_has_one_owner_and_whoever_uses_it_is_that(self) -> None:
        group = self.group_now()
        if group is None:
            return
        owners: dict[tuple[TopicId, int], str] = {}
        for member_id in group.roster:
            current = group.roster.current(member_id)
            for owned in (current.assigned, current.pending_revocation):
                for topic_id, partitions in owned.items():
                    for partition in partitions:
                        assert owners.setdefault((topic_id, partition), member_id) == member_id, "two owners"
                        assert group.roster.owner(topic_id, partition) == member_id
        for member in self.members:
            if member.member_id in group.roster and isinstance(member, Consumer) and member.epoch > 0:
                for place in self.used(member):
                    assert owners.get(place) == member.member_id, "used by one who does not own it"

    @invariant()
    def epochs_never_go_back(self) -> None:
        group = self.group_now()
        if group is None:
            self.group, self.epochs = None, (0, 0)
            return
        epochs = (group.roster.epoch.epoch, group.roster.target_epoch.epoch)
        if group is self.group:
            assert epochs >= self.epochs
            assert epochs[1] <= epochs[0]
        self.group, self.epochs = group, epochs
        for member_id in group.roster:
            assert group.roster.current(member_id).member_epoch <= epochs[1]

    @invariant()
    def the_log_says_the_same(self) -> None:
        """What a restart now would find is what there is."""
        group = self.group_now()
        stored = self.world.coordinator._journal.consumer_groups
        assert stored.keys() == ({"g"} if group is not None else set())
        if group is not None:
            assert stored["g"] == group.roster.snapshot()


TestConsumerGroupLives = ConsumerGroupLives.TestCase
TestConsumerGroupLives.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
