"""Rebuilds, switches and rollbacks in any order, interrupted anywhere, under appends, against a model."""

import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eventbus.clock import SystemClock
from eventbus.database import Database, Migrations
from eventbus.errors import CheckpointFenced
from eventbus.messages import Event
from eventbus.projections import (
    Generations,
    ProjectionAdministration,
    ProjectionPaused,
    Rebuild,
    RebuildProgress,
    Rollback,
    View,
    filling,
    prepare_projections,
    standings,
    store_filling,
    takeover,
)
from eventbus.testing.contracts.given_log import Feeder, OrdersLog
from eventbus.testing.contracts.orders import TYPES, OrderPaid, OrderPlaced, OrderSummaries, OrderSummary, placed
from tests.eventbus.projections.stored_orders import TOPICS, StoredOrders

T = TypeVar("T")

PARTITIONS = 2
ORDERS = 6
KINDS: dict[bytes, type[Event]] = {one.message_name.encode(): one for one in (OrderPlaced, OrderPaid)}


class Rebuilding(RuleBasedStateMachine):
    """
    The model: the live view has exactly what folding the log up to the live checkpoints gives, whatever was begun,
    interrupted, ended, switched to and gone back to; and it goes on from there.
    """

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        self._portal_context = start_blocking_portal()
        self._portal: BlockingPortal = self._portal_context.__enter__()
        self._log = OrdersLog(PARTITIONS)
        self._live, self._kept, self._unfinished = 1, set[int](), False
        self._paused = False
        self._database = self._call(self._open)
        self._orders = StoredOrders(self._database, self._log)
        self._feeder = Feeder(self._log, OrderSummaries, self._database)
        self._zombie = Feeder(self._log, OrderSummaries, self._database)

    def _call(self, work: Callable[[], Coroutine[object, object, T]]) -> T:
        return self._portal.call(work)

    async def _open(self) -> Database:
        database = Database.from_url(f"sqlite:///{Path(self._directory.name) / 'db'}")
        await Migrations(database).upgrade()
        await prepare_projections(database, [OrderSummaries], SystemClock())
        return database

    def teardown(self) -> None:
        self._call(self._database.aclose)
        self._portal_context.__exit__(None, None, None)
        self._directory.cleanup()

    @initialize(orders=st.lists(st.integers(0, ORDERS - 1), min_size=4, max_size=12))
    def begin(self, orders: list[int]) -> None:
        for number in orders:
            self.append(number, paid=False, relayed=True)

    @rule(number=st.integers(0, ORDERS - 1), paid=st.booleans(), relayed=st.booleans())
    def append(self, number: int, paid: bool, relayed: bool) -> None:
        event = OrderPaid(order_id=f"o-{number}") if paid else placed(f"o-{number}")
        self._call(lambda: self._orders.record(event, f"Order-o-{number}", relayed=relayed))

    @rule(partition=st.integers(0, PARTITIONS - 1), batch=st.integers(1, 5))
    def apply(self, partition: int, batch: int) -> None:
        """The live runner goes on; fenced, it claims again."""

        async def feed() -> None:
            try:
                await self._feeder.feed(batch, [partition])
            except CheckpointFenced:
                self._feeder.claims.clear()
                await self._feeder.feed(batch, [partition])

        try:
            self._call(feed)
            assert not self._paused or partition not in self._feeder.claims or self._at_end(partition)
        except ProjectionPaused:
            assert self._paused
            self._feeder.claims.clear()

    def _at_end(self, partition: int) -> bool:
        return self._feeder.claims[partition].next_offset == len(self._log.partitions[partition])

    @rule(partition=st.integers(0, PARTITIONS - 1))
    def claim_as_another(self, partition: int) -> None:
        """A second process takes the partition over, and is frozen: the first one's next batch is refused."""
        if not self._paused:
            self._call(lambda: self._zombie.claim(partition))

    @rule(partition=st.integers(0, PARTITIONS - 1))
    def wake_up(self, partition: int) -> None:
        """It applies what it had claimed, if nobody has claimed since; else it leaves nothing."""

        async def feed() -> None:
            if partition in self._zombie.claims:
                try:
                    await self._zombie.feed(3, [partition])
                except CheckpointFenced:
                    del self._zombie.claims[partition]

        self._call(feed)

    @rule(step=st.integers(1, 12), switch=st.booleans(), from_store=st.booleans(), restart=st.booleans())
    def rebuild(self, step: int, switch: bool, from_store: bool, restart: bool) -> None:
        """To the end, or interrupted at some step."""
        if from_store or self._unfinished:
            if self._paused:
                return  # it would wait for the live view, as it says
            self._settle()

        def work(progress: Callable[[RebuildProgress], None]) -> Rebuild:
            return Rebuild(
                OrderSummaries,
                database=self._database,
                transport=self._log.transport,
                types=TYPES,
                topics=TOPICS,
                from_store=from_store,
                switch=switch,
                restart=restart,
                progress=progress,
            )

        self._run(work, step)

    @precondition(lambda self: self._kept)
    @rule(step=st.integers(1, 6))
    def rollback(self, step: int) -> None:
        def work(progress: Callable[[RebuildProgress], None]) -> Rollback:
            return Rollback(
                OrderSummaries,
                database=self._database,
                transport=self._log.transport,
                types=TYPES,
                progress=progress,
            )

        self._run(work, step)

    @precondition(lambda self: self._kept)
    @rule()
    def drop(self) -> None:
        number = self._kept.pop()
        self._call(lambda: self._administration.drop("order_summaries", number))

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        if paused:
            self._call(lambda: self._administration.pause("order_summaries", by="model"))
        else:
            self._call(lambda: self._administration.resume("order_summaries"))
        self._paused = paused

    @property
    def _administration(self) -> ProjectionAdministration:
        return ProjectionAdministration(self._database, SystemClock())

    def _settle(self) -> None:
        self._call(self._orders.relay)
        for partition in range(PARTITIONS):
            self.apply(partition, 5)

    def _run(self, make: Callable[[Callable[[RebuildProgress], None]], Rebuild | Rollback], step: int) -> None:
        told: list[str] = []

        async def work() -> int | None:
            with anyio.CancelScope() as scope:

                def progress(now: RebuildProgress) -> None:
                    told.append(now.phase)
                    if len(told) == step and now.phase not in ("live", "built"):
                        scope.cancel()

                with anyio.fail_after(60):
                    result = await make(progress).run()
                return result.generation if result.switched else None
            return None

        if (switched_to := self._call(work)) is not None:
            self._kept = (self._kept | {self._live}) - {switched_to}
            self._live = switched_to
        self._unfinished = self._call(self._has_unfinished)

    async def _has_unfinished(self) -> bool:
        async with self._database.reading() as connection:
            rows = await Generations(SystemClock()).every(connection, "order_summaries")
        assert [row.generation for row in rows if row.state == "live"] == [self._live]
        assert {row.generation for row in rows if row.state in ("old", "returning")} == self._kept
        return any(row.state in ("building", "built") for row in rows)

    @invariant()
    def the_view_is_the_fold_of_the_log_up_to_its_checkpoints(self) -> None:
        async def look() -> tuple[list[OrderSummary], list[OrderSummary]]:
            (found,) = await standings(self._database, SystemClock(), topics={})
            records = [
                record
                for partition in found.partitions
                for record in self._log.records(partition.partition, 0, partition.position)
            ]
            events = [
                KINDS[dict(record.headers)["ce_type"] or b""].model_validate_json(record.value or b"")
                for record in records
            ]
            return OrderSummaries.fold(events), await View(OrderSummaries, self._database).select()

        expected, rows = self._call(look)
        assert sorted(rows, key=lambda row: row.order_id) == sorted(expected, key=lambda row: row.order_id)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a log of a few events has many places to be interrupted at."""
    monkeypatch.setattr(filling, "RECORDS_A_TRANSACTION", 3)
    monkeypatch.setattr(store_filling, "EVENTS_A_TRANSACTION", 3)
    monkeypatch.setattr(takeover, "SWITCH_BELOW", 2)


def test_whatever_is_begun_and_interrupted_the_live_view_is_what_its_log_says() -> None:
    """And the generation that is live is the one that was switched to last."""
    Rebuilding.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
    Rebuilding.TestCase().runTest()
