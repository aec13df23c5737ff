"""
Builds a projection anew beside the live one, and switches (decision 12).

1  The new generation's tables and checkpoints are made, under a lease: one rebuild of a projection at a time.
2  It is filled from the log, never past the live generation's checkpoints: so that at the end both can stand at V.
3  Near the live ones, the generation is marked `switching` and the live checkpoints are claimed: that fences the live
   runners, whose next transaction rolls back, and who then wait. V is what the claims answer.
4  The new generation is filled exactly to V. Both are compared in one snapshot: every row when both are of one
   version, else (the rows are meant to differ) only counted.
5  One transaction: the live checkpoints are still ours, the new generation becomes live, the other one is kept as old.
   The runners go on with the new one, at V.

Killed at any moment, it goes on where it was. A runner waits for a switch until its lease has expired, then it claims
its checkpoints again, which fences the rebuild: step 5 finds that, and steps 2 to 5 are repeated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import anyio
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.clock import Clock, SystemClock
from eventbus.database.checkpoints import Checkpoint, Checkpoints, LogPartition
from eventbus.database.engine import Database
from eventbus.database.inbox import Inbox
from eventbus.database.tables import dead_letters
from eventbus.errors import CheckpointFenced, DatabaseUnavailable
from eventbus.projections.build import Build
from eventbus.projections.comparison import TableComparison, compare
from eventbus.projections.definition import AnyProjection
from eventbus.projections.filling import Filling, Skipped
from eventbus.projections.generations import Generation, Generations, LeaseHeld, RebuildRefused
from eventbus.projections.holder import new_holder
from eventbus.projections.progress import Phase, RateMeter, RebuildProgress
from eventbus.projections.records import RecordDecoder
from eventbus.serialization.types import MessageTypes
from eventbus.transport.port import LogDescription, TopicPartition, Transport

LEASE_SECONDS = 10.0
SWITCH_BELOW = 2_000
"""Offsets left to the live checkpoints when the live runners are stopped: they wait for about a tenth of a second."""
SWITCH_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """A rebuild that has switched."""

    projection: str
    generation: int
    version: int
    resumed: bool
    """An earlier rebuild had begun it."""
    positions: Mapping[TopicPartition, int]
    """V: where the new generation took over."""
    tables: Sequence[TableComparison]
    rows_compared: bool
    """False: only counted, because the live generation was of another version or of another log."""
    seconds: float


@dataclass(frozen=True, slots=True)
class _Work:
    """The generation under construction."""

    build: Generation
    tables: Build
    filling: Filling


class Rebuild:
    """
    One rebuild; `run` it once.

    progress            called after each transaction of it
    restart             an unfinished build is thrown away instead of gone on with
    skip_dead_letters   records that are dead letters of the live projection are passed over
    """

    def __init__(
        self,
        projection: type[AnyProjection],
        *,
        database: Database,
        transport: Transport,
        types: MessageTypes,
        progress: Callable[[RebuildProgress], None] | None = None,
        restart: bool = False,
        skip_dead_letters: bool = False,
        clock: Clock | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._projection = projection
        self._name = projection.projection_name
        self._database = database
        self._transport = transport
        self._decoder = RecordDecoder(projection, types)
        self._progress = progress
        self._restart = restart
        self._skip_dead_letters = skip_dead_letters
        self._clock = clock if clock is not None else SystemClock()
        self._lease_seconds = lease_seconds
        self._generations = Generations(self._clock)
        self._checkpoints = Checkpoints()
        self._meter = RateMeter(self._clock)
        self._state: Literal["building", "switching"] = "building"
        self._phase: Phase = "building"
        self._total = 0
        self._holder = new_holder()
        self._lost: RebuildRefused | None = None

    async def run(self) -> RebuildResult:
        """
        Builds, compares and switches.

        Raises RebuildRefused: another one is under way, a log whose start was cut, an event that fails (with its
        place), rows that differ (with their keys). The live generation is as it was then, and live.
        """
        started = self._clock.monotonic()
        work, resumed = await self._begin_when_free()
        failure: Exception | None = None
        result: RebuildResult | None = None
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._keep_lease, work.build, group.cancel_scope)
                try:
                    result = await self._build_and_switch(work)
                except Exception as error:  # raised below, outside of the group, which would wrap it
                    failure = error
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._give_up(work.build)
        if self._lost is not None:
            raise self._lost
        if failure is not None:
            raise failure
        if result is None:
            raise RuntimeError("the rebuild ended without a result")
        return replace(result, resumed=resumed, seconds=self._clock.monotonic() - started)

    async def _begin_when_free(self) -> tuple[_Work, bool]:
        """Waits once for a lease to run out: a rebuild that was killed on another host has left one."""
        try:
            return await self._begin()
        except LeaseHeld as held:
            await anyio.sleep(max(0.0, (held.expires_at - self._clock.now()).total_seconds()) + 0.1)
            return await self._begin()

    async def _begin(self) -> tuple[_Work, bool]:
        description = await self._describe()
        async with self._database.transaction() as connection:
            build, resumed = await self._generations.begin_building(
                connection, self._projection, self._holder, self._lease_seconds, restart=self._restart
            )
            tables = Build(self._projection, build.generation, Inbox())
            await tables.create(connection)
            claimed: dict[TopicPartition, Checkpoint] = {}
            for partition, log in self._partitions(description).items():
                checkpoint = await self._checkpoints.claim(connection, self._name, build.generation, log)
                start = description.topics[partition.topic].partitions[partition.partition].start
                if (checkpoint.next_offset or 0) < start:
                    raise RebuildRefused(
                        f"projection {self._name!r} cannot be rebuilt from the log: "
                        f"{partition.topic}-{partition.partition} begins at offset {start}, what was before is gone "
                        "(retention, or deleted records). The live view stays as it is"
                    )
                claimed[partition] = checkpoint
            skipped = await self._skipped(connection)
        filling = Filling(
            tables,
            claimed,
            database=self._database,
            transport=self._transport,
            decoder=self._decoder,
            skipped=skipped,
            moved=lambda: self._tell(build, filling),
        )
        return _Work(build, tables, filling), resumed

    async def _build_and_switch(self, work: _Work) -> RebuildResult:
        for _ in range(SWITCH_ATTEMPTS):
            await self._approach(work)
            try:
                result = await self._switch(work)
            except CheckpointFenced:
                # The lease ran out and a live runner has taken over again: it is ahead now.
                self._state = self._phase = "building"
                async with self._database.transaction() as connection:
                    await self._generations.renew(connection, work.build, "building", self._lease_seconds)
                continue
            self._phase = "live"
            self._tell(work.build, work.filling)
            return result
        raise RebuildRefused(
            f"the rebuild of {self._name!r} could not stop the live runners in {SWITCH_ATTEMPTS} attempts: its lease "
            f"of {self._lease_seconds:g} s runs out while it compares; run it again at a quieter time, or with a "
            "longer lease"
        )

    async def _approach(self, work: _Work) -> None:
        """Fills up to the live checkpoints, until they are near."""
        while True:
            description = await self._describe()
            async with self._database.reading() as connection:
                live = await self._live(connection)
                rows = await self._checkpoints.read(connection, self._name, live.generation)
            targets = self._targets(live, rows, description)
            self._total = sum(targets.values())
            self._tell(work.build, work.filling)
            if sum(max(0, target - work.filling.position(tp)) for tp, target in targets.items()) <= SWITCH_BELOW:
                return
            await work.filling.fill(targets)

    async def _switch(self, work: _Work) -> RebuildResult:
        """Steps 3 to 5. Raises CheckpointFenced when a live runner has taken over meanwhile."""
        build, description = work.build, await self._describe()
        self._state = self._phase = "switching"
        async with self._database.transaction() as connection:
            await self._generations.renew(connection, build, "switching", self._lease_seconds)
            live = await self._live(connection)
            rows = await self._checkpoints.read(connection, self._name, live.generation)
            stopped = [await self._checkpoints.claim(connection, self._name, live.generation, row.log) for row in rows]
        targets = self._targets(live, stopped, description)
        self._total = sum(targets.values())
        self._refuse_beyond(work.filling, targets)
        await work.filling.fill(targets)
        rows_compared = live.version == build.version and not self._foreign(stopped, description)
        tables = await self._compare(work, live, stopped, rows=rows_compared)
        async with self._database.transaction() as connection:
            await self._generations.renew(connection, build, "switching", self._lease_seconds)
            for checkpoint in stopped:
                again = await self._checkpoints.claim(connection, self._name, live.generation, checkpoint.log)
                if (again.epoch, again.next_offset) != (checkpoint.epoch + 1, checkpoint.next_offset):
                    raise CheckpointFenced(f"{self._name!r}: a live runner has gone on")
            await self._generations.switch(connection, build, live)
        return RebuildResult(
            self._name, build.generation, build.version, False, targets, tables, rows_compared, seconds=0.0
        )

    async def _compare(
        self, work: _Work, live: Generation, stopped: Sequence[Checkpoint], *, rows: bool
    ) -> list[TableComparison]:
        """Raises CheckpointFenced when the live generation is not at V any more, RebuildRefused when rows differ."""
        self._phase = "comparing"
        self._tell(work.build, work.filling)
        live_tables = self._projection.tables(live.generation)
        async with self._database.reading() as connection:
            # In the same snapshot: when the lease has run out, a live runner goes on, and its rows are of another V.
            found = await self._checkpoints.read(connection, self._name, live.generation)
            if not set(stopped) <= set(found):
                raise CheckpointFenced(f"{self._name!r}: a live runner has gone on")
            tables = await compare(connection, live_tables, work.tables.tables, rows=rows)
        differing = [table for table in tables if table.differing_keys]
        if differing:
            async with self._database.transaction() as connection:
                await self._generations.abandon(connection, work.build)
            shown = "; ".join(
                f"{table.table} ({table.live_rows} rows live, {table.new_rows} new): keys "
                f"{', '.join(table.differing_keys)}"
                for table in differing
            )
            raise RebuildRefused(
                f"the rebuild of {self._name!r} does not switch: at the same offsets its rows differ from the live "
                f"ones, in {shown}. The live view stays as it is, the new tables are kept to look at. If the code has "
                f"changed on purpose, raise version={work.build.version}; if not, its functions do not depend on their "
                "events alone, or somebody else has written the live rows"
            )
        return tables

    def _targets(
        self, live: Generation, rows: Sequence[Checkpoint], description: LogDescription
    ) -> dict[TopicPartition, int]:
        """Where the new generation is to stop: at the live checkpoints; with nothing to agree with, at the end."""
        foreign = self._foreign(rows, description)
        known = {} if foreign else {TopicPartition(row.log.topic, row.log.partition): row for row in rows}
        same = live.version == self._projection.projection_version and not foreign
        targets: dict[TopicPartition, int] = {}
        for partition in self._partitions(description):
            row = known.get(partition)
            end = description.topics[partition.topic].partitions[partition.partition].end
            if row is not None:
                targets[partition] = row.next_offset or 0
            else:
                targets[partition] = 0 if same else end
        return targets

    def _foreign(self, rows: Sequence[Checkpoint], description: LogDescription) -> bool:
        """Whether the live rows came from another log than this one: then they cannot be agreed with."""
        logs = self._partitions(description)
        for row in rows:
            log = logs.get(TopicPartition(row.log.topic, row.log.partition))
            if log is not None:
                end = description.topics[log.topic].partitions[log.partition].end
                if log != row.log or (row.next_offset or 0) > end:
                    return True
        return False

    def _refuse_beyond(self, filling: Filling, targets: Mapping[TopicPartition, int]) -> None:
        for partition, target in targets.items():
            if filling.position(partition) > target:
                raise RebuildRefused(
                    f"the unfinished build of {self._name!r} is at offset {filling.position(partition)} of "
                    f"{partition.topic}-{partition.partition}, past the live one ({target}): build anew with --restart"
                )

    async def _live(self, connection: AsyncConnection) -> Generation:
        live = await self._generations.live(connection, self._name)
        if live is None:
            raise RebuildRefused(f"projection {self._name!r} has no live generation: start the service once")
        return live

    async def _describe(self) -> LogDescription:
        topics = self._projection.projection_topics
        description = await self._transport.describe(topics)
        missing = [topic for topic in topics if topic not in description.topics]
        if missing:
            raise RebuildRefused(
                f"projection {self._name!r} cannot be rebuilt: the log has no topic {missing[0]!r}; is it the right "
                "broker?"
            )
        return description

    def _partitions(self, description: LogDescription) -> dict[TopicPartition, LogPartition]:
        return {
            TopicPartition(topic, number): LogPartition(description.cluster_id, topic, found.topic_id, number)
            for topic, found in sorted(description.topics.items())
            for number in range(len(found.partitions))
        }

    async def _skipped(self, connection: AsyncConnection) -> Skipped:
        if not self._skip_dead_letters:
            return frozenset()
        columns = dead_letters.c
        statement = select(columns.topic, columns.partition, columns.offset).where(columns.consumer == self._name)
        return frozenset((topic, partition, offset) for topic, partition, offset in await connection.execute(statement))

    async def _keep_lease(self, build: Generation, scope: anyio.CancelScope) -> None:
        while True:
            await anyio.sleep(self._lease_seconds / 3)
            try:
                async with self._database.transaction() as connection:
                    await self._generations.renew(connection, build, self._state, self._lease_seconds)
            except DatabaseUnavailable:
                continue  # whoever fills or switches finds that out, too, and says so
            except RebuildRefused as lost:
                self._lost = lost
                scope.cancel()

    async def _give_up(self, build: Generation) -> None:
        try:
            async with self._database.transaction() as connection:
                await self._generations.give_up_lease(connection, build)
        except DatabaseUnavailable:
            pass  # it runs out by itself

    def _tell(self, build: Generation, filling: Filling) -> None:
        if self._progress is None:
            return
        done = min(self._total, sum(filling.position(partition) for partition in filling.claimed))
        rate = self._meter.rate(done)
        left = None if rate <= 0 else (self._total - done) / rate
        self._progress(RebuildProgress(self._name, build.generation, self._phase, done, self._total, rate, left))
