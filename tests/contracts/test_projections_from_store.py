"""What a build from the event store promises, on each database."""

from collections.abc import Callable

import anyio
import pytest
from sqlalchemy import insert, select

from eventbus.clock import SystemClock
from eventbus.database import Database
from eventbus.database.tables import blocked_rows, outbox
from eventbus.domain import EventTopics
from eventbus.errors import CheckpointFenced, ForeignLog
from eventbus.projections import (
    AnyProjection,
    Rebuild,
    RebuildProgress,
    RebuildRefused,
    View,
    prepare_projections,
    store_filling,
)
from eventbus.testing.contracts.given_log import Feeder, OrdersLog
from eventbus.testing.contracts.orders import TYPES, CustomerTotals, OrderPaid, OrderSummaries, placed
from eventbus.testing.contracts.projection_rebuilds import states
from tests.eventbus.projections.stored_orders import TOPICS, StoredOrders

pytestmark = pytest.mark.anyio

ORDERS = 40


@pytest.fixture
async def prepared(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    await prepare_projections(database, [OrderSummaries, CustomerTotals], SystemClock())
    monkeypatch.setattr(store_filling, "EVENTS_A_TRANSACTION", 7)
    return database


@pytest.fixture
def log() -> OrdersLog:
    return OrdersLog(3)


@pytest.fixture
async def orders(prepared: Database, log: OrdersLog) -> StoredOrders:
    """Forty orders, every second one paid, all in the log."""
    orders = StoredOrders(prepared, log)
    for number in range(ORDERS):
        await record(orders, number)
    return orders


async def record(orders: StoredOrders, number: int, *, relayed: bool = True) -> None:
    stream = f"Order-o-{number}"
    await orders.record(placed(f"o-{number}", customer_id=f"c-{number % 5}"), stream, relayed=relayed)
    if number % 2:
        await orders.record(OrderPaid(order_id=f"o-{number}"), stream, relayed=relayed)


def from_store(
    log: OrdersLog,
    database: Database,
    projection: type[AnyProjection] = OrderSummaries,
    *,
    topics: EventTopics = TOPICS,
    progress: Callable[[RebuildProgress], None] | None = None,
) -> Rebuild:
    return Rebuild(
        projection,
        database=database,
        transport=log.transport,
        types=TYPES,
        topics=topics,
        from_store=True,
        progress=progress,
    )


@pytest.mark.parametrize("projection", [OrderSummaries, CustomerTotals])
async def test_a_log_whose_start_was_cut_is_no_matter_when_the_store_has_it_all(
    prepared: Database, log: OrdersLog, orders: StoredOrders, projection: type[AnyProjection]
) -> None:
    """The rows equal the live ones at the switch, row by row, and the live runner goes on with them."""
    feeder = Feeder(log, projection, prepared)
    await feeder.feed()
    log.start = 5
    plain = Rebuild(projection, database=prepared, transport=log.transport, types=TYPES, topics=TOPICS)
    with pytest.raises(RebuildRefused, match=r"begins at offset 5.*--from-store"):
        await plain.run()
    seen: list[str] = []
    result = await from_store(log, prepared, projection, progress=lambda now: seen.append(now.phase)).run()
    assert (result.generation, result.rows_compared, result.switched) == (2, True, True)
    assert list(result.positions.values()) == [len(records) for records in log.partitions]
    assert seen[0] == "reading the event store"
    await record(orders, ORDERS)
    feeder.claims.clear()
    await feeder.feed()
    assert {claim.build.generation for claim in feeder.claims.values()} == {2}
    if projection is OrderSummaries:
        assert await View(OrderSummaries, prepared).count() == ORDERS + 1


async def test_it_does_not_switch_before_the_live_view_has_seen_what_it_has_read(
    prepared: Database, log: OrdersLog, orders: StoredOrders
) -> None:
    """Events that wait for the relay, or that the live runner has yet to read, are in the store already."""
    feeder = Feeder(log, OrderSummaries, prepared)
    await feeder.feed()
    for number in range(ORDERS, ORDERS + 6):
        await record(orders, number, relayed=False)
    phases: set[str] = set()
    results: list[bool] = []

    async def build() -> None:
        result = await from_store(log, prepared, progress=lambda now: phases.add(now.phase)).run()
        results.append(result.rows_compared)

    async with anyio.create_task_group() as group:
        group.start_soon(build)
        with anyio.fail_after(60):
            while "waiting for the relay" not in phases:
                await anyio.sleep(0.01)
            assert await orders.waiting() == 9
            await orders.relay()
            while "waiting for the live view" not in phases:
                await anyio.sleep(0.01)
            assert await states(prepared) == [(1, "live"), (2, "building")]
            await feeder.feed()
    assert results == [True]
    assert await states(prepared) == [(1, "old"), (2, "live")]
    assert await View(OrderSummaries, prepared).count() == ORDERS + 6


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7, 1.0])
async def test_a_build_from_the_store_that_was_stopped_goes_on_where_it_was(
    prepared: Database, log: OrdersLog, orders: StoredOrders, share: float
) -> None:
    """Nothing is read again, nothing is left out, and what was added meanwhile is there."""
    feeder = Feeder(log, OrderSummaries, prepared)
    await feeder.feed()
    read: list[int] = []
    with anyio.CancelScope() as scope:

        def stop(progress: RebuildProgress) -> None:
            if progress.phase == "reading the event store":
                read.append(progress.done)
                if progress.done >= share * progress.total:
                    scope.cancel()

        await from_store(log, prepared, progress=stop).run()
    assert scope.cancelled_caught
    assert await states(prepared) == [(1, "live"), (2, "building")]
    for number in (0, ORDERS):
        await record(orders, number)
    await feeder.feed()
    resumed: list[int] = []
    result = await from_store(
        log, prepared, progress=lambda now: resumed.append(now.done) if now.phase.startswith("reading") else None
    ).run()
    assert (result.generation, result.resumed, result.rows_compared) == (2, True, True)
    assert not resumed or resumed[0] > read[-1]
    assert await View(OrderSummaries, prepared).count() == ORDERS + 1


async def test_a_view_is_built_from_the_store_when_the_log_was_lost(
    prepared: Database, log: OrdersLog, orders: StoredOrders
) -> None:
    """There is nothing to agree with: it takes over at the end of the log that is there."""
    await Feeder(log, OrderSummaries, prepared).feed()
    fresh = OrdersLog(2, cluster_id="another")
    with pytest.raises(ForeignLog):
        await Feeder(fresh, OrderSummaries, prepared).feed()
    result = await from_store(fresh, prepared).run()
    assert result.rows_compared is False
    assert await View(OrderSummaries, prepared).count() == ORDERS
    await Feeder(fresh, OrderSummaries, prepared).feed()


async def test_a_live_view_that_was_overtaken_by_retention_is_built_from_the_store(
    prepared: Database, log: OrdersLog, orders: StoredOrders
) -> None:
    """Its runner has stopped, because records were deleted before it had read them."""
    log.start = 9
    with pytest.raises(ForeignLog, match="begins at 9"):
        feeder = Feeder(log, OrderSummaries, prepared)
        for partition in range(3):
            claim = await feeder.runner.claim(log.log(partition), 0, len(log.partitions[partition]))
            await feeder.runner.apply(claim, log.records(partition, 0, 2), 2)
            await feeder.claim(partition)
    await from_store(log, prepared).run()
    assert await View(OrderSummaries, prepared).count() == ORDERS


async def test_an_event_that_fails_is_named_by_stream_and_version(
    prepared: Database, log: OrdersLog, orders: StoredOrders
) -> None:
    """Live it became a dead letter; the build stops at it, or passes over it when it is told to."""
    await orders.record(placed("o-bad", total="-1"), "Order-o-bad")
    await Feeder(log, OrderSummaries, prepared).feed()
    with pytest.raises(RebuildRefused, match=r"stopped at version 1 of stream Order-o-bad: OrderSummaries\.placed"):
        await from_store(log, prepared).run()
    assert await states(prepared) == [(1, "live"), (2, "building")]
    passing = Rebuild(
        OrderSummaries,
        database=prepared,
        transport=log.transport,
        types=TYPES,
        topics=TOPICS,
        from_store=True,
        skip_dead_letters=True,
    )
    result = await passing.run()
    assert (result.generation, result.rows_compared) == (2, True)


async def test_an_event_that_the_log_refuses_is_not_waited_for_in_silence(
    prepared: Database, log: OrdersLog, orders: StoredOrders
) -> None:
    """It would never arrive: the build says which one it is, and goes on when somebody has dealt with it."""
    await Feeder(log, OrderSummaries, prepared).feed()
    event_id = await orders.record(placed("o-huge"), "Order-o-huge", relayed=False)
    async with prepared.transaction() as connection:
        sequence = await connection.scalar(select(outbox.c.sequence).where(outbox.c.id == event_id))
        await connection.execute(
            insert(blocked_rows).values(
                sequence=sequence,
                slot=0,
                event_id=event_id,
                type="OrderPlaced",
                topic="orders",
                reason="too large",
                attempts=3,
                blocked_at=SystemClock().now(),
            )
        )
    with pytest.raises(RebuildRefused, match=f"the log refuses event {event_id}: too large.*eventbus outbox blocked"):
        await from_store(log, prepared).run()
    await orders.relay()
    await Feeder(log, OrderSummaries, prepared).feed()
    result = await from_store(log, prepared).run()
    assert (result.resumed, result.rows_compared) == (True, True)


async def test_events_of_others_are_not_in_the_store_and_it_says_which(prepared: Database, log: OrdersLog) -> None:
    """A topic or an event that no aggregate of this service records."""
    with pytest.raises(RebuildRefused, match="topic 'orders' is not written by an aggregate of this service"):
        await from_store(log, prepared, topics=EventTopics(())).run()

    class Mixed(OrderSummaries, topics=["orders", "payments"], name="order_summaries"):
        pass

    with pytest.raises(RebuildRefused, match="topic 'payments' is not written"):
        await from_store(log, prepared, Mixed).run()
    assert await states(prepared) == [(1, "live")]


async def test_live_runners_go_on_during_a_build_from_the_store(
    prepared: Database, log: OrdersLog, orders: StoredOrders
) -> None:
    """Orders are placed, relayed and projected all the while, and both generations agree at the switch."""
    done = anyio.Event()

    async def live() -> None:
        feeder = Feeder(log, OrderSummaries, prepared)
        while not done.is_set():
            try:
                await feeder.feed(5)
            except CheckpointFenced:
                feeder.claims.clear()
            await anyio.sleep(0.005)

    async def arrive() -> None:
        for number in range(ORDERS, ORDERS + 60):
            await record(orders, number)
            await anyio.sleep(0.002)

    async with anyio.create_task_group() as group:
        group.start_soon(live)
        group.start_soon(arrive)
        await anyio.sleep(0.02)
        results = [await from_store(log, prepared).run() for _ in range(2)]
        done.set()
    assert [(result.generation, result.rows_compared) for result in results] == [(2, True), (3, True)]
    await Feeder(log, OrderSummaries, prepared).feed()
    assert await View(OrderSummaries, prepared).count() == ORDERS + 60
