"""What a rebuild promises, on any database."""

import socket
import subprocess
import sys
from collections.abc import Callable, Sequence

import anyio
import pytest
from sqlalchemy import update

from eventbus.clock import SystemClock
from eventbus.database import Checkpoint, Checkpoints, Database
from eventbus.errors import CheckpointFenced
from eventbus.projections import (
    AnyProjection,
    Generation,
    Generations,
    Rebuild,
    RebuildProgress,
    RebuildRefused,
    RebuildResult,
    TableComparison,
    View,
    prepare_projections,
    projects,
)
from eventbus.projections.takeover import Takeover, Work
from eventbus.testing.contracts.given_log import Feeder, OrdersLog
from eventbus.testing.contracts.orders import (
    TYPES,
    OrderPaid,
    OrderPlaced,
    OrderSizes,
    OrderSummaries,
    OrderSummary,
    Turnover,
    placed,
)


def log_of(orders: int, partitions: int = 3) -> OrdersLog:
    log = OrdersLog(partitions)
    for number in range(orders):
        append_order(log, number)
    return log


def append_order(log: OrdersLog, number: int) -> None:
    partition = number % len(log.partitions)
    log.append(placed(f"o-{number}", customer_id=f"c-{number % 7}"), partition, stream=f"Order-o-{number}")
    if number % 2:
        log.append(OrderPaid(order_id=f"o-{number}"), partition, stream=f"Order-o-{number}")
    if number % 5 == 0:
        log.append_gap(partition)


def rebuild(
    log: OrdersLog,
    database: Database,
    projection: type[AnyProjection] = OrderSummaries,
    *,
    progress: Callable[[RebuildProgress], None] | None = None,
    restart: bool = False,
    skip_dead_letters: bool = False,
    lease_seconds: float = 10,
) -> Rebuild:
    return Rebuild(
        projection,
        database=database,
        transport=log.transport,
        types=TYPES,
        progress=progress,
        restart=restart,
        skip_dead_letters=skip_dead_letters,
        lease_seconds=lease_seconds,
    )


async def generations(database: Database) -> list[Generation]:
    async with database.reading() as connection:
        return await Generations(SystemClock()).every(connection, "order_summaries")


async def states(database: Database) -> list[tuple[int, str]]:
    return [(row.generation, row.state) for row in await generations(database)]


def _event(value: bytes | None, kind: bytes | None) -> OrderPlaced | OrderPaid | None:
    cls = OrderPlaced if kind == OrderPlaced.message_name.encode() else OrderPaid
    return cls.model_validate_json(value or b"")


class RebuildsContract:
    """Tests for a database: give `database`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    async def prepared(self, database: Database) -> Database:
        await prepare_projections(database, [OrderSummaries, Turnover], SystemClock())
        return database

    @pytest.mark.parametrize("projection", [OrderSummaries, Turnover])
    async def test_a_rebuild_gives_the_same_rows_and_the_live_runner_goes_on_with_them(
        self, prepared: Database, projection: type[AnyProjection]
    ) -> None:
        """At exactly the offsets of the switch; the old generation is kept."""
        log = log_of(60)
        feeder = Feeder(log, projection, prepared)
        await feeder.feed(10)
        seen: list[RebuildProgress] = []
        result = await rebuild(log, prepared, projection, progress=seen.append).run()
        assert (result.generation, result.rows_compared, result.resumed) == (2, True, False)
        assert list(result.positions.values()) == [len(records) for records in log.partitions]
        assert result.tables[0].live_rows == result.tables[0].new_rows
        assert [progress.phase for progress in seen][-1] == "live"
        assert seen[-1].done == seen[-1].total == sum(map(len, log.partitions))
        append_order(log, 60)
        with pytest.raises(CheckpointFenced):
            await feeder.feed()
        feeder.claims.clear()
        await feeder.feed()
        assert [claim.build.generation for claim in feeder.claims.values()] == [2, 2, 2]
        if projection is OrderSummaries:
            assert await states(prepared) == [(1, "old"), (2, "live")]
            assert await View(OrderSummaries, prepared).count() == 61
            assert (await View(OrderSummaries, prepared).get("o-59")) is not None

    async def test_a_rebuild_never_passes_the_live_checkpoints(self, prepared: Database) -> None:
        """Live runners that are behind, or not there: it stops where they are, and they go on from there."""
        log = log_of(30)
        feeder = Feeder(log, OrderSummaries, prepared)
        await feeder.feed(partitions=[0])
        result = await rebuild(log, prepared).run()
        assert list(result.positions.values()) == [len(log.partitions[0]), 0, 0]
        feeder.claims.clear()
        await feeder.feed()
        assert await View(OrderSummaries, prepared).count() == 30

    async def test_orders_that_arrive_during_a_rebuild_are_in_the_new_generation(self, prepared: Database) -> None:
        """Two live runners go on meanwhile, are fenced at the switch, claim again, and lose nothing."""
        log = log_of(900, partitions=2)
        done = anyio.Event()

        async def live(partition: int) -> None:
            feeder = Feeder(log, OrderSummaries, prepared)
            while not (done.is_set() and partition in feeder.claims and _at_end(feeder, partition)):
                try:
                    await feeder.feed(20, [partition])
                except CheckpointFenced:
                    feeder.claims.clear()
                await anyio.sleep(0.005)

        def _at_end(feeder: Feeder, partition: int) -> bool:
            return feeder.claims[partition].next_offset == len(log.partitions[partition])

        async def arrive() -> None:
            number = 900
            while not done.is_set():
                append_order(log, number)
                number += 1
                await anyio.sleep(0.005)

        results: list[RebuildResult] = []
        async with anyio.create_task_group() as group:
            group.start_soon(live, 0)
            group.start_soon(live, 1)
            group.start_soon(arrive)
            results += [await rebuild(log, prepared).run() for _ in range(2)]
            await anyio.sleep(0.1)
            done.set()
        assert [(result.generation, result.rows_compared) for result in results] == [(2, True), (3, True)]
        expected = OrderSummaries.fold(
            event
            for records in log.partitions
            for record in records
            if record is not None and (event := _event(record.value, dict(record.headers)["ce_type"])) is not None
        )
        rows = await View(OrderSummaries, prepared).select(limit=10_000)
        assert sorted(rows, key=lambda row: row.order_id) == sorted(expected, key=lambda row: row.order_id)

    async def test_a_rebuild_that_was_stopped_goes_on_from_its_exact_checkpoint(self, prepared: Database) -> None:
        """Nothing is read again, nothing is left out: the rows agree at the switch."""
        log = log_of(300)
        await Feeder(log, OrderSummaries, prepared).feed()
        positions: list[int] = []

        with anyio.CancelScope() as scope:

            def stop(progress: RebuildProgress) -> None:
                positions.append(progress.done)
                if progress.done > 200:
                    scope.cancel()

            await rebuild(log, prepared, progress=stop).run()
        assert scope.cancelled_caught
        assert await states(prepared) == [(1, "live"), (2, "building")]
        stopped_at = positions[-1]
        resumed: list[RebuildProgress] = []
        result = await rebuild(log, prepared, progress=resumed.append).run()
        assert (result.generation, result.resumed) == (2, True)
        assert resumed[0].done >= stopped_at
        assert await states(prepared) == [(1, "old"), (2, "live")]

    async def test_two_rebuilds_of_one_projection_refuse_each_other(self, prepared: Database) -> None:
        """The lease of the first one is renewed, so the second one gives up with its name."""
        log = log_of(20)
        await Feeder(log, OrderSummaries, prepared).feed()
        refused: list[str] = []

        async def second() -> None:
            with pytest.raises(RebuildRefused) as error:
                await rebuild(log, prepared, lease_seconds=0.3).run()
            refused.append(str(error.value))

        async with prepared.transaction() as connection:
            await Generations(SystemClock()).begin_building(connection, OrderSummaries, "host:1", 0.4)
            held = (await Generations(SystemClock()).every(connection, "order_summaries"))[-1]
        async with anyio.create_task_group() as group:
            group.start_soon(second)
            while not refused:
                async with prepared.transaction() as connection:
                    await Generations(SystemClock()).renew(connection, held, "building", 0.4)
                await anyio.sleep(0.1)
        assert "is being rebuilt or rolled back by host:1: wait for it, or stop it" in refused[0]

    async def test_a_log_whose_start_was_cut_is_refused_before_anything_is_made(self, prepared: Database) -> None:
        """What was before cannot be read any more."""
        log = log_of(20)
        await Feeder(log, OrderSummaries, prepared).feed()
        log.start = 3
        with pytest.raises(RebuildRefused, match="begins at offset 3, what was before is gone"):
            await rebuild(log, prepared).run()
        assert await states(prepared) == [(1, "live")]

    async def test_the_first_event_that_fails_stops_a_rebuild_with_its_position(self, prepared: Database) -> None:
        """Live it became a dead letter, and the rebuild can be told to pass over those."""
        log = log_of(20)
        log.append(placed("o-bad", total="-1"), 1, stream="Order-o-bad")
        offset = len(log.partitions[1]) - 1
        await Feeder(log, OrderSummaries, prepared).feed()
        with pytest.raises(
            RebuildRefused, match=f"stopped at orders-1 offset {offset}: OrderSummaries.placed: ValueError"
        ):
            await rebuild(log, prepared).run()
        assert await states(prepared) == [(1, "live"), (2, "building")]
        result = await rebuild(log, prepared, skip_dead_letters=True).run()
        assert (result.generation, result.resumed) == (2, True)

    async def test_an_event_whose_row_the_database_refuses_stops_a_rebuild_with_its_position(
        self, prepared: Database
    ) -> None:
        """The database's error names no event: it is found among the thousands of a batch."""
        await prepare_projections(prepared, [OrderSizes], SystemClock())
        log = log_of(60)
        log.append(placed("o-bad", total="1e20"), 1, stream="Order-o-bad")
        offset = len(log.partitions[1]) - 1
        append_order(log, 61)
        await Feeder(log, OrderSizes, prepared).feed()
        with pytest.raises(RebuildRefused, match=f"stopped at orders-1 offset {offset}: "):
            await rebuild(log, prepared, OrderSizes).run()
        result = await rebuild(log, prepared, OrderSizes, skip_dead_letters=True).run()
        assert (result.resumed, result.rows_compared) == (True, True)

    async def test_rows_that_differ_are_not_switched_to_and_their_keys_are_shown(self, prepared: Database) -> None:
        """At the same offsets, the same code must give the same rows; the next rebuild begins anew."""
        log = log_of(40)
        await Feeder(log, OrderSummaries, prepared).feed()
        async with prepared.transaction() as connection:
            live = OrderSummaries.tables(1)[0]
            await connection.execute(update(live).where(live.c.order_id.in_(["o-7", "o-8"])).values(status="altered"))
        with pytest.raises(RebuildRefused, match=r"40 rows live, 40 new\): keys o-7, o-8.*raise version=1"):
            await rebuild(log, prepared).run()
        assert await states(prepared) == [(1, "live"), (2, "abandoned")]
        with pytest.raises(RebuildRefused, match="o-7"):
            await rebuild(log, prepared).run()
        assert await states(prepared) == [(1, "live"), (2, "abandoned"), (3, "abandoned")]

    async def test_a_new_version_is_built_beside_the_live_one_and_only_counted(self, prepared: Database) -> None:
        """The rows are meant to differ; the old release is told what has happened."""

        class Newer(OrderSummaries, topics=["orders"], name="order_summaries", version=2):
            @projects(OrderPaid)
            def paid(self, row: OrderSummary | None, event: OrderPaid) -> OrderSummary | None:
                return row and row.replace(status="settled")

        log = log_of(20)
        feeder = Feeder(log, OrderSummaries, prepared)
        await feeder.feed()
        result = await rebuild(log, prepared, Newer).run()
        assert (result.generation, result.version, result.rows_compared) == (2, 2, False)
        assert (result.tables[0].live_rows, result.tables[0].new_rows) == (20, 20)
        assert await View(Newer, prepared).count(status="settled") == 10
        await prepare_projections(prepared, [Newer], SystemClock())

    @pytest.mark.parametrize("is_of_this_host", [False, True])
    async def test_a_live_runner_waits_for_a_switch_and_takes_over_when_the_rebuilder_has_died(
        self, prepared: Database, is_of_this_host: bool
    ) -> None:
        """On another host when its lease has run out, on this one at once; a later rebuild goes on with the rest."""
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        holder = f"{socket.gethostname()}:{ended.pid}:0" if is_of_this_host else "elsewhere:1:0"
        log = log_of(20)
        feeder = Feeder(log, OrderSummaries, prepared)
        await feeder.feed()
        tables = Generations(SystemClock())
        async with prepared.transaction() as connection:
            build, _ = await tables.begin_building(connection, OrderSummaries, holder, 0.5)
            await tables.renew(connection, build, "switching", 0.5)
            for checkpoint in await Checkpoints().read(connection, "order_summaries", 1):
                await Checkpoints().claim(connection, "order_summaries", 1, checkpoint.log)
        append_order(log, 20)
        with pytest.raises(CheckpointFenced):
            await feeder.feed()
        started = anyio.current_time()
        feeder.claims.clear()
        await feeder.feed()
        assert (anyio.current_time() - started > 0.2) is not is_of_this_host
        assert await View(OrderSummaries, prepared).count() == 21

    @pytest.mark.parametrize("moment", ["before it compares", "after it has compared"])
    async def test_a_runner_that_takes_over_during_a_switch_makes_the_rebuild_try_again(
        self, prepared: Database, moment: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever the clocks say: the epochs decide, and the switch is repeated at the new offsets."""
        log = log_of(50)
        feeder = Feeder(log, OrderSummaries, prepared)
        await feeder.feed()
        taken_at: list[str] = []

        async def take_over() -> None:
            async with prepared.transaction() as connection:
                for partition, claim in feeder.claims.items():
                    claim.checkpoint = await Checkpoints().claim(connection, "order_summaries", 1, log.log(partition))
            append_order(log, 50)
            await feeder.feed()

        compare = Takeover.compare_with_live

        async def interrupted(
            self: Takeover, work: Work, live: Generation, stopped: Sequence[Checkpoint], *, rows: bool
        ) -> list[TableComparison]:
            if moment == "before it compares" and not taken_at:
                taken_at.append(moment)
                await take_over()
            found = await compare(self, work, live, stopped, rows=rows)
            if not taken_at:
                taken_at.append(moment)
                await take_over()
            return found

        monkeypatch.setattr(Takeover, "compare_with_live", interrupted)
        result = await rebuild(log, prepared).run()
        assert taken_at
        assert list(result.positions.values()) == [len(records) for records in log.partitions]
        assert await states(prepared) == [(1, "old"), (2, "live")]
        assert await View(OrderSummaries, prepared).count() == 51

    async def test_a_view_of_a_log_that_was_lost_is_rebuilt_from_the_new_one(self, prepared: Database) -> None:
        """Its checkpoints belong to another log, so nothing can be compared; it is built to the end."""
        await Feeder(log_of(20), OrderSummaries, prepared).feed()
        log = log_of(10)
        log.cluster_id = "another"
        result = await rebuild(log, prepared).run()
        assert result.rows_compared is False
        await Feeder(log, OrderSummaries, prepared).feed()
        assert await View(OrderSummaries, prepared).count() == 10
