"""Checkpoints and the inbox together, as a consumer uses them, against a model: every effect once, whoever does it."""

import contextlib
from collections.abc import Coroutine
from dataclasses import replace
from typing import TypeVar

from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from eventbus.database import Checkpoint, Checkpoints, Database, Inbox, LogPartition, Migrations
from eventbus.errors import CheckpointFenced, ForeignLog

T = TypeVar("T")

LOG = LogPartition("cluster", "orders", "topic", 0)
PARTITIONS = st.integers(0, 1)
OWNERS = st.sampled_from(("one", "two"))
IDS = st.lists(st.integers(0, 30).map(str), max_size=5)


class Abandoned(Exception):
    """A handler that fails: its transaction is rolled back."""


class EffectsMachine(RuleBasedStateMachine):
    """
    Two owners of two partitions claim, handle batches in one transaction each, fail, and claim each other's partitions.

    The model: the epoch and offset of each partition as they were committed, the claim that each owner still believes
    in, and the ids that were handled.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ending = contextlib.ExitStack()
        self.portal = self.ending.enter_context(start_blocking_portal())
        self.database = Database.from_url("memory:")
        self.claims: dict[tuple[str, int], Checkpoint] = {}
        self.epochs: dict[int, int] = {}
        self.offsets: dict[int, int | None] = {}
        self.handled: set[str] = set()

    def run(self, step: Coroutine[object, object, T]) -> T:
        async def awaited() -> T:
            return await step

        return self.portal.call(awaited)

    @initialize()
    def prepare(self) -> None:
        self.run(Migrations(self.database).prepare())

    @rule(owner=OWNERS, partition=PARTITIONS)
    def claim(self, owner: str, partition: int) -> None:
        """It gives the offset that was committed, and a new epoch."""
        found = self.run(self._claim(partition))
        self.epochs[partition] = self.epochs.get(partition, 0) + 1
        assert (found.epoch, found.next_offset) == (self.epochs[partition], self.offsets.get(partition))
        self.claims[owner, partition] = found

    @rule(owner=OWNERS, partition=PARTITIONS, ids=IDS, moves=st.integers(0, 3), fails=st.booleans())
    def handle(self, owner: str, partition: int, ids: list[str], moves: int, fails: bool) -> None:
        """A batch: what is new is admitted and the checkpoint moves, or nothing of both."""
        claim = self.claims.get((owner, partition))
        if claim is None:
            return
        is_owner = claim.epoch == self.epochs[partition]
        try:
            moved, admitted = self.run(self._handle(claim, ids, (claim.next_offset or 0) + moves, fails))
        except CheckpointFenced:
            assert not is_owner, "the owner was fenced"
            del self.claims[owner, partition]
        except Abandoned:
            assert is_owner, "who was fenced got as far as its effects"
        else:
            assert is_owner, "who was fenced has committed"
            assert admitted == set(ids) - self.handled
            self.handled |= admitted
            self.offsets[partition] = moved.next_offset
            self.claims[owner, partition] = moved

    @rule(owner=OWNERS, partition=PARTITIONS)
    def claim_in_another_log(self, owner: str, partition: int) -> None:
        """Refused where there is a checkpoint, and nobody is fenced by it."""
        if partition not in self.epochs:
            return
        foreign = replace(LOG, partition=partition, topic_id="another")
        try:
            self.run(self._claim(partition, foreign))
        except ForeignLog:
            return
        raise AssertionError("a checkpoint of another log was given")

    @invariant()
    def the_database_has_what_was_committed(self) -> None:
        if not self.epochs:
            return
        found = self.run(self._read())
        assert {one.log.partition: (one.epoch, one.next_offset) for one in found} == {
            partition: (epoch, self.offsets.get(partition)) for partition, epoch in self.epochs.items()
        }

    def teardown(self) -> None:
        if self.epochs:
            assert self.run(self._not_handled()) == {str(number) for number in range(31)} - self.handled
        self.run(self.database.aclose())
        self.ending.close()

    async def _claim(self, partition: int, log: LogPartition = LOG) -> Checkpoint:
        async with self.database.transaction() as connection:
            return await Checkpoints().claim(connection, "shop", 0, replace(log, partition=partition))

    async def _handle(
        self, claim: Checkpoint, ids: list[str], next_offset: int, fails: bool
    ) -> tuple[Checkpoint, set[str]]:
        async with self.database.transaction() as connection:
            moved = await Checkpoints().advance(connection, claim, next_offset)
            admitted = await Inbox().admit(connection, "shop", ids)
            if fails:
                raise Abandoned
            return moved, admitted

    async def _read(self) -> list[Checkpoint]:
        async with self.database.reading() as connection:
            return await Checkpoints().read(connection, "shop", 0)

    async def _not_handled(self) -> set[str]:
        """Whatever the inbox still admits."""
        async with self.database.transaction() as connection:
            return await Inbox().admit(connection, "shop", [str(number) for number in range(31)])


def test_checkpoints_and_inbox_behave_as_their_model() -> None:
    """Whatever the order of claims, batches, failures and fenced owners."""
    run_state_machine_as_test(
        EffectsMachine,
        settings=settings(
            max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
