"""What an operator can do to projections, and what live runners then do, on any database."""

import anyio
import pytest
from sqlalchemy import inspect

from eventbus.clock import SystemClock
from eventbus.database import Checkpoints, Database
from eventbus.errors import CheckpointFenced, InvalidConfiguration, SchemaOutdated
from eventbus.projections import (
    AnyProjection,
    Generations,
    ProjectionAdministration,
    ProjectionPaused,
    Rebuild,
    RebuildRefused,
    Rollback,
    View,
    prepare_projections,
    projects,
    standings,
)
from eventbus.testing.contracts.given_log import Feeder, OrdersLog
from eventbus.testing.contracts.orders import (
    TYPES,
    OrderPaid,
    OrderSummaries,
    OrderSummary,
    Turnover,
    placed,
)


class Settled(OrderSummaries, topics=["orders"], name="order_summaries", version=2):
    @projects(OrderPaid)
    def paid(self, row: OrderSummary | None, event: OrderPaid) -> OrderSummary | None:
        return row and row.replace(status="settled")


def log_of(orders: int) -> OrdersLog:
    log = OrdersLog(2)
    for number in range(orders):
        append_order(log, number)
    return log


def append_order(log: OrdersLog, number: int) -> None:
    partition = number % 2
    log.append(placed(f"o-{number}"), partition, stream=f"Order-o-{number}")
    log.append(OrderPaid(order_id=f"o-{number}"), partition, stream=f"Order-o-{number}")
    log.append_gap(partition)


def rebuild(
    log: OrdersLog,
    database: Database,
    projection: type[AnyProjection] = OrderSummaries,
    *,
    switch: bool = True,
    built_only: bool = False,
) -> Rebuild:
    return Rebuild(
        projection, database=database, transport=log.transport, types=TYPES, switch=switch, built_only=built_only
    )


def rollback(
    log: OrdersLog,
    database: Database,
    projection: type[AnyProjection] = OrderSummaries,
    *,
    generation: int | None = None,
    behind: bool = False,
) -> Rollback:
    return Rollback(
        projection, database=database, transport=log.transport, types=TYPES, generation=generation, behind=behind
    )


async def states(database: Database, name: str = "order_summaries") -> list[tuple[int, str]]:
    async with database.reading() as connection:
        return [(row.generation, row.state) for row in await Generations(SystemClock()).every(connection, name)]


async def tables(database: Database) -> set[str]:
    async with database.reading() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


class ProjectionOperationsContract:
    """Tests for a database: give `database`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    async def prepared(self, database: Database) -> Database:
        await prepare_projections(database, [OrderSummaries, Turnover], SystemClock())
        return database

    @pytest.fixture
    def administration(self, prepared: Database) -> ProjectionAdministration:
        return ProjectionAdministration(prepared, SystemClock())

    async def test_nothing_is_applied_after_a_pause_until_it_is_resumed(
        self, prepared: Database, administration: ProjectionAdministration
    ) -> None:
        """The runner that has claimed before is fenced; whoever claims is told who has paused it."""
        log = log_of(2)
        feeder = Feeder(log, OrderSummaries, prepared)
        await feeder.feed()
        assert await administration.pause("order_summaries", by="ann@desk") is None
        append_order(log, 2)
        with pytest.raises(CheckpointFenced):
            await feeder.feed()
        feeder.claims.clear()
        with pytest.raises(ProjectionPaused, match=r"by ann@desk; `eventbus projections resume order_summaries`"):
            await feeder.feed()
        assert await View(OrderSummaries, prepared).count() == 2
        again = await administration.pause("order_summaries", by="bob@desk")
        assert again is not None
        assert again.paused_by == "ann@desk"
        assert await administration.resume("order_summaries") is True
        assert await administration.resume("order_summaries") is False
        await feeder.feed()
        assert await View(OrderSummaries, prepared).count() == 3

    async def test_a_paused_view_can_be_rebuilt_and_stays_paused(
        self, prepared: Database, administration: ProjectionAdministration
    ) -> None:
        """The new generation stops where the paused one stands."""
        log = log_of(3)
        await Feeder(log, OrderSummaries, prepared).feed()
        await administration.pause("order_summaries", by="ann")
        append_order(log, 3)
        assert (await rebuild(log, prepared).run()).rows_compared
        assert await View(OrderSummaries, prepared).count() == 3
        with pytest.raises(ProjectionPaused):
            await Feeder(log, OrderSummaries, prepared).feed()

    async def test_a_build_without_a_switch_is_kept_and_switched_to_later(self, prepared: Database) -> None:
        """The live one goes on in between; what has come since is applied before the switch, and rows are compared."""
        log = log_of(5)
        feeder = Feeder(log, OrderSummaries, prepared)
        await feeder.feed()
        with pytest.raises(RebuildRefused, match="--no-switch` builds one"):
            await rebuild(log, prepared, built_only=True).run()
        built = await rebuild(log, prepared, switch=False).run()
        assert (built.generation, built.switched, built.tables[0].new_rows) == (2, False, 5)
        assert await states(prepared) == [(1, "live"), (2, "built")]
        append_order(log, 5)
        await feeder.feed()
        result = await rebuild(log, prepared, built_only=True).run()
        assert (result.generation, result.switched, result.rows_compared) == (2, True, True)
        assert await states(prepared) == [(1, "old"), (2, "live")]
        assert await View(OrderSummaries, prepared).count() == 6

    async def test_partitions_that_a_topic_has_got_meanwhile_are_built_too(self, prepared: Database) -> None:
        """Before the switch: the live view has read them."""
        log = log_of(4)
        feeder = Feeder(log, OrderSummaries, prepared)
        await feeder.feed()
        await rebuild(log, prepared, switch=False).run()
        log.partitions.append([])
        log.append(placed("o-new"), 2, stream="Order-o-new")
        await feeder.feed()
        result = await rebuild(log, prepared, built_only=True).run()
        assert result.rows_compared
        assert await View(OrderSummaries, prepared).count() == 5

    @pytest.mark.parametrize("projection", [OrderSummaries, Turnover])
    async def test_a_rollback_catches_up_with_the_live_view_before_it_serves(
        self, prepared: Database, projection: type[AnyProjection]
    ) -> None:
        """It stood still since the switch: what it has missed is applied, and the live runner goes on with it."""
        log = log_of(4)
        feeder = Feeder(log, projection, prepared)
        await feeder.feed()
        await rebuild(log, prepared, projection).run()
        for number in range(4, 9):
            append_order(log, number)
        feeder.claims.clear()
        await feeder.feed()
        result = await rollback(log, prepared, projection).run()
        assert (result.generation, result.switched, result.rows_compared) == (1, True, False)
        assert list(result.positions.values()) == [len(records) for records in log.partitions]
        assert await states(prepared, projection.projection_name) == [(1, "live"), (2, "old")]
        append_order(log, 9)
        feeder.claims.clear()
        await feeder.feed()
        assert {claim.build.generation for claim in feeder.claims.values()} == {1}
        if projection is OrderSummaries:
            assert await View(OrderSummaries, prepared).count() == 10
        # And forward again.
        assert (await rollback(log, prepared, projection).run()).generation == 2
        assert await states(prepared, projection.projection_name) == [(1, "old"), (2, "live")]

    async def test_a_generation_of_another_version_says_what_it_would_miss(self, prepared: Database) -> None:
        """This code cannot bring it up to date; the release that made it can, before the rollback or after it."""
        log = log_of(4)
        await Feeder(log, OrderSummaries, prepared).feed()
        await rebuild(log, prepared, Settled).run()
        append_order(log, 4)
        await Feeder(log, Settled, prepared).feed()
        with pytest.raises(
            RebuildRefused, match=r"of version 1, this code is version 2.*has missed 3 offsets.*--behind"
        ):
            await rollback(log, prepared, Settled).run()
        assert await states(prepared) == [(1, "old"), (2, "live")]
        behind = await rollback(log, prepared, Settled, behind=True).run()
        assert sum(behind.positions.values()) == 12
        with pytest.raises(SchemaOutdated):
            await Feeder(log, Settled, prepared).feed()
        assert await View(OrderSummaries, prepared).count() == 4
        await Feeder(log, OrderSummaries, prepared).feed()
        assert await View(OrderSummaries, prepared).count() == 5
        assert (await rollback(log, prepared, Settled).run()).generation == 2

    async def test_a_rollback_is_refused_with_what_there_is(self, prepared: Database) -> None:
        """Nothing was kept; a generation that never was live is none to go back to; what it has missed is gone."""
        log = log_of(4)
        await Feeder(log, OrderSummaries, prepared).feed()
        with pytest.raises(
            RebuildRefused, match="no generation that was live before and could be gone back to: none is"
        ):
            await rollback(log, prepared).run()
        await rebuild(log, prepared).run()
        await rebuild(log, prepared, switch=False).run()
        with pytest.raises(RebuildRefused, match=r"no generation 3 that was live before .*: kept are 1"):
            await rollback(log, prepared, generation=3).run()
        append_order(log, 4)
        log.start = len(log.partitions[0]) - 1
        with pytest.raises(RebuildRefused, match=r"stands at offset 6 of orders-0, and the log there begins at 8 now"):
            await rollback(log, prepared).run()
        assert await states(prepared) == [(1, "old"), (2, "live"), (3, "built")]

    async def test_a_dropped_generation_leaves_nothing_and_its_number_is_not_used_again(
        self, prepared: Database, administration: ProjectionAdministration
    ) -> None:
        """Tables, checkpoints and remembered ids; another projection's are left, however alike the names."""

        class Alike(OrderSummaries, topics=["orders"], name="order_summaries_1"):
            pass

        await prepare_projections(prepared, [Alike], SystemClock())
        log = log_of(4)
        log.append(placed("published"), id="published")
        await Feeder(log, OrderSummaries, prepared).feed()
        await Feeder(log, Alike, prepared).feed()
        await rebuild(log, prepared).run()
        with pytest.raises(InvalidConfiguration, match="generation 2 of 'order_summaries' is live: views read it"):
            await administration.drop("order_summaries", 2)
        with pytest.raises(InvalidConfiguration, match="has no generation 7; it has 1, 2"):
            await administration.drop("order_summaries", 7)
        with pytest.raises(
            InvalidConfiguration, match="No projection 'orders' was started here; there is order_summaries"
        ):
            await administration.drop("orders", 1)
        names = ["view_order_summaries_1", "view_order_summaries_1_streams"]
        assert await administration.drop("order_summaries", 1, only_look=True) == names
        assert set(names) <= await tables(prepared)
        assert await administration.drop("order_summaries", 1) == names
        assert set(names).isdisjoint(await tables(prepared))
        assert await View(Alike, prepared).count() == 5
        async with prepared.reading() as connection:
            assert await Checkpoints().read(connection, "order_summaries", 1) == []
        assert await states(prepared) == [(2, "live")]
        await rebuild(log, prepared).run()
        await administration.drop("order_summaries", 2)
        assert (await rebuild(log, prepared, switch=False).run()).generation == 4

    async def test_a_generation_that_somebody_works_on_is_not_dropped(
        self, prepared: Database, administration: ProjectionAdministration
    ) -> None:
        """Until the lease has run out."""
        async with prepared.transaction() as connection:
            await Generations(SystemClock()).begin_building(connection, OrderSummaries, "elsewhere:1:0", 0.3)
        with pytest.raises(
            InvalidConfiguration, match="generation 2 of 'order_summaries' is building, by elsewhere:1:0"
        ):
            await administration.drop("order_summaries", 2)
        await anyio.sleep(0.35)
        assert await administration.drop("order_summaries", 2) == []

    async def test_lag_counts_with_the_consumers_position(
        self, prepared: Database, administration: ProjectionAdministration
    ) -> None:
        """Behind the marker of a transaction there is nothing to come; a log that is another one has no lag."""
        log = log_of(3)
        topics = {"order_summaries": ["orders"]}
        before = await standings(prepared, SystemClock(), transport=log.transport, topics=topics)
        assert [(one.live.projection, one.lag) for one in before] == [("order_summaries", 9), ("turnover", 0)]
        await Feeder(log, OrderSummaries, prepared).feed(partitions=[0])
        (found, _) = await standings(prepared, SystemClock(), transport=log.transport, topics=topics)
        assert [(one.partition, one.position, one.end, one.lag) for one in found.partitions] == [
            (0, 6, 6, 0),
            (1, 0, 3, 3),
        ]
        await administration.pause("order_summaries", by="ann")
        foreign = OrdersLog(2, cluster_id="another").transport
        (found, _) = await standings(prepared, SystemClock(), transport=foreign, topics={})
        assert found.lag is None
        assert found.pause is not None
