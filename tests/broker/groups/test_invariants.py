"""Any mixture of joins, syncs, goodbyes, silences, cut connections, restarts and time: what holds all the same."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.errors import ErrorCode
from broker.groups import (
    CommitRequest,
    GroupState,
    JoinRequest,
    JoinResult,
    LeavingMember,
    OffsetToCommit,
    SyncRequest,
    SyncResult,
)
from broker.identifiers import TopicPartition
from tests.broker.groups.harness import World

P0 = TopicPartition("t", 0)
SLOTS = 5
STATIC = 2
"""The first slots are static members."""

_slots = st.integers(0, SLOTS - 1)


class Request:
    """A request in flight: answered at most once, and never after its connection closed."""

    def __init__(self) -> None:
        self.answers = 0
        self.detached = False

    def answered(self) -> None:
        assert not self.detached, "an answer for a connection that has closed"
        self.answers += 1
        assert self.answers == 1, "a second answer"


class Process:
    """What one consumer process knows of itself."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.instance_id = f"i-{slot}" if slot < STATIC else None
        self.member_id = ""
        self.generation = -1
        self.leader = False
        self.members: tuple[str, ...] = ()
        self.open: list[Request] = []


class GroupLives(RuleBasedStateMachine):
    """
    Five consumers of one group. Checked all the time:
    one generation has one assignment for a member; members of an older generation are not accepted; every request is
    answered once, or dropped with its connection; a generation is never given out twice; a commit never goes back.
    """

    def __init__(self) -> None:
        super().__init__()
        self.processes = [Process(slot) for slot in range(SLOTS)]
        self.assigned: dict[tuple[int, str], bytes] = {}
        self.highest_synced = 0
        self.syncs = 0
        self.committed = -1

    @initialize(delay=st.sampled_from(["0", "3000"]))
    def begin(self, delay: str) -> None:
        self.world = World(group_initial_rebalance_delay_ms=delay)

    @rule(slot=_slots, protocols=st.sampled_from([("range",), ("sticky", "range"), ("range", "sticky")]))
    def join(self, slot: int, protocols: tuple[str, ...]) -> None:
        process, request = self.processes[slot], Request()

        def joined(result: JoinResult) -> None:
            request.answered()
            process.open.remove(request)
            if result.error is ErrorCode.MEMBER_ID_REQUIRED:
                process.member_id = result.member_id
            elif result.error is ErrorCode.NONE:
                process.member_id, process.generation = result.member_id, result.generation
                process.leader = result.leader == result.member_id and not result.skip_assignment
                process.members = tuple(member.member_id for member in result.members)
            elif result.error in (ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.FENCED_INSTANCE_ID):
                process.member_id = ""

        process.open.append(request)
        self.world.coordinator.join(
            JoinRequest(
                group_id="g",
                member_id=process.member_id,
                instance_id=process.instance_id,
                client_id="c",
                session_timeout_ms=20_000,
                rebalance_timeout_ms=15_000,
                protocol_type="consumer",
                protocols=[(name, b"%d" % slot) for name in protocols],
            ),
            owner=process,
            on_complete=joined,
        )

    @rule(slot=_slots)
    def sync(self, slot: int) -> None:
        process, request = self.processes[slot], Request()
        generation, member_id = process.generation, process.member_id
        self.syncs += 1
        assignments = dict.fromkeys(process.members, b"%d/%d" % (generation, self.syncs))

        def synced(result: SyncResult) -> None:
            request.answered()
            process.open.remove(request)
            if result.error is ErrorCode.NONE:
                self.highest_synced = max(self.highest_synced, generation)
                known = self.assigned.setdefault((generation, member_id), result.assignment)
                assert known == result.assignment, "two assignments in one generation"

        process.open.append(request)
        self.world.coordinator.sync(
            SyncRequest(
                group_id="g",
                member_id=member_id,
                instance_id=process.instance_id,
                generation=generation,
                assignments=assignments if process.leader else {},
            ),
            owner=process,
            on_complete=synced,
        )

    @rule(slots=st.sets(_slots, min_size=1), rounds=st.integers(1, 3), wait_ms=st.sampled_from([0, 15_000]))
    def settle(self, slots: set[int], rounds: int, wait_ms: int) -> None:
        """Some of the processes behave: they join until they have a generation, and sync. Chance alone seldom does."""
        for _ in range(rounds):
            for slot in sorted(slots):
                if not self.processes[slot].open:
                    self.join(slot, ("range",))
        # The rebalance timeout: static members that did not join stay behind in an old generation.
        self.world.advance(wait_ms)
        for slot in sorted(slots):
            if not self.processes[slot].open:
                self.sync(slot)

    @rule(slot=_slots)
    def heartbeat(self, slot: int) -> None:
        process = self.processes[slot]
        error = self.world.coordinator.heartbeat("g", process.member_id, process.instance_id, process.generation)
        if error is ErrorCode.NONE:
            assert process.generation >= self.highest_synced, "a member of an old generation was accepted"

    @rule(slot=_slots)
    def commit(self, slot: int) -> None:
        process = self.processes[slot]
        offset = process.generation
        request = CommitRequest(
            group_id="g",
            member_id=process.member_id,
            instance_id=process.instance_id,
            generation=process.generation,
            offsets={P0: OffsetToCommit(offset)},
        )
        if process.generation >= 0 and self.world.coordinator.commit_offsets(request)[P0] is ErrorCode.NONE:
            assert offset >= self.committed, "a member of an older generation has committed after a newer one"
            self.committed = offset

    @rule(slot=_slots)
    def leave(self, slot: int) -> None:
        process = self.processes[slot]
        self.world.coordinator.leave("g", [LeavingMember(process.member_id, process.instance_id)])

    @rule(slot=_slots)
    def disconnect(self, slot: int) -> None:
        process = self.processes[slot]
        for request in process.open:
            request.detached = True
        process.open.clear()
        self.world.coordinator.detach(process)

    @rule(slot=_slots)
    def kill(self, slot: int) -> None:
        """A new process in the same place, which knows nothing; the old one is gone with its connection."""
        self.disconnect(slot)
        self.processes[slot] = Process(slot)

    @rule(milliseconds=st.sampled_from([1, 1_000, 4_000, 15_000, 19_999, 21_000]))
    def pass_time(self, milliseconds: int) -> None:
        self.world.advance(milliseconds)

    @rule()
    def restart(self) -> None:
        for slot in range(SLOTS):
            for request in self.processes[slot].open:
                request.detached = True
            self.processes[slot].open.clear()
        self.world.restart()

    @precondition(lambda self: any(process.open for process in self.processes))
    @rule()
    def everybody_gives_up(self) -> None:
        """With time enough every request that waits is answered, whatever the others do not do."""
        self.world.advance(100_000)
        assert not any(process.open for process in self.processes)

    @invariant()
    def the_group_is_in_order(self) -> None:
        group = self.world.coordinator.describe("g")
        if group is None:
            return
        assert group.state is not GroupState.DEAD
        # A rebalance may have no members: it waits for somebody to come back with the id that it was given.
        if group.state is not GroupState.PREPARING_REBALANCE:
            assert (group.state is GroupState.EMPTY) == (not group.members)
        instances = [member.instance_id for member in group.members if member.instance_id is not None]
        assert len(instances) == len(set(instances)), "two members of one instance"

    @invariant()
    def the_commit_is_what_was_acknowledged_last(self) -> None:
        if self.committed >= 0:
            assert self.world.coordinator.fetch_offsets("g", [P0]).offsets[P0].offset == self.committed


TestGroupLives = GroupLives.TestCase
TestGroupLives.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
