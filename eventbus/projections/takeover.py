"""
How a generation that has been filled takes the live one's place (decision 12).

1  It is filled up to the live checkpoints, never past them, until they are near.
2  It is marked `switching` and the live checkpoints are claimed: that fences the live runners, whose next transaction
   rolls back, and who then wait. V is what the claims answer.
3  It is filled exactly to V. Both are compared in one snapshot: every row when that is asked for, else only counted.
4  One transaction: the live checkpoints are still ours, the new generation becomes live, the other one is kept as old.
   The runners go on with the new one, at V.

A runner waits for a switch until its lease has expired, then it claims its checkpoints again, which fences the
takeover: step 4 finds that, and everything is repeated.

A generation that was built from the event store holds events that the live one may not have seen yet. It says up to
which offsets (`floor`), and is switched to when the live one has passed them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import anyio

from eventbus.clock import Clock
from eventbus.database.checkpoints import Checkpoint, Checkpoints
from eventbus.database.engine import Database
from eventbus.errors import CheckpointFenced
from eventbus.projections.build import Build
from eventbus.projections.comparison import TableComparison, compare
from eventbus.projections.definition import AnyProjection
from eventbus.projections.filling import Filling
from eventbus.projections.generations import Generation, Generations, RebuildRefused
from eventbus.projections.lease import Lease
from eventbus.projections.marks import LogView
from eventbus.projections.progress import Phase, RateMeter, RebuildProgress
from eventbus.transport.port import TopicPartition, Transport

SWITCH_BELOW = 2_000
"""Offsets left to the live checkpoints when the live runners are stopped: they wait for about a tenth of a second."""
SWITCH_ATTEMPTS = 5
WAIT_FOR_LIVE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """A generation that has been built, or brought back."""

    projection: str
    generation: int
    version: int
    resumed: bool
    """An earlier rebuild had begun it."""
    switched: bool
    """False: it is built, and the live one is live as before."""
    positions: Mapping[TopicPartition, int]
    """V: where the new generation took over; without a switch: how far it has been filled."""
    tables: Sequence[TableComparison]
    rows_compared: bool
    """False: only counted, because the rows may differ, or the live ones came from another log."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """
    The generation that is worked on.

    floor   what it already holds of each partition, where that is more than its checkpoints say
    """

    generation: Generation
    tables: Build
    filling: Filling
    lease: Lease
    floor: Mapping[TopicPartition, int] = field(default_factory=dict[TopicPartition, int])

    def at_least(self, partition: TopicPartition) -> int:
        """The live one has to have come this far before this one can take its place."""
        return max(self.filling.position(partition), self.floor.get(partition, 0))


class Takeover:
    """
    Fills and switches. Its parts are called by Rebuild and Rollback, which hold the lease meanwhile.

    compared   whether every row has to be equal, where both are of one version and of one log
    """

    def __init__(
        self,
        projection: type[AnyProjection],
        *,
        database: Database,
        transport: Transport,
        generations: Generations,
        clock: Clock,
        progress: Callable[[RebuildProgress], None] | None,
        compared: bool,
    ) -> None:
        self._projection = projection
        self._name = projection.projection_name
        self._database = database
        self._transport = transport
        self._generations = generations
        self._checkpoints = Checkpoints()
        self._progress = progress
        self._compared = compared
        self._meter = RateMeter(clock)
        self._total = 0
        self.phase: Phase = "building"

    async def run(self, work: Work) -> RebuildResult:
        """Fills and switches. Raises RebuildRefused: an event that fails, rows that differ, runners that go on."""
        for _ in range(SWITCH_ATTEMPTS):
            await self.approach(work)
            try:
                result = await self._switch(work)
            except CheckpointFenced:
                # The lease ran out and a live runner has taken over again: it is ahead now.
                work.lease.state = "returning" if work.generation.was_live else "building"
                async with self._database.transaction() as connection:
                    await self._generations.renew(connection, work.generation, work.lease.state, work.lease.seconds)
                continue
            self.phase = "live"
            self.tell(work)
            return result
        raise RebuildRefused(
            f"the rebuild of {self._name!r} could not stop the live runners in {SWITCH_ATTEMPTS} attempts: its lease "
            f"of {work.lease.seconds:g} s runs out while it compares; run it again at a quieter time, or with a "
            "longer lease"
        )

    async def approach(self, work: Work) -> Mapping[TopicPartition, int]:
        """Fills up to the live checkpoints, until they are near; answers where they are then."""
        while True:
            self.phase = "building"
            async with self._database.reading() as connection:
                live = self._live(await self._generations.live(connection, self._name))
                rows = await self._checkpoints.read(connection, self._name, live.generation)
            # After the checkpoints: one that lies behind the log's end has to mean that the log is another one.
            log = await LogView.of(self._transport, self._projection)
            marks = self._marks(live, rows, log)
            await self._claim_added(work, log)
            self._total = sum(marks.values())
            if any(mark < work.at_least(partition) for partition, mark in marks.items()):
                if not work.floor:
                    self._refuse_beyond(work, marks)
                # What it holds of the event store, the live one has yet to read from the log.
                self.phase = "waiting for the live view"
                self.tell(work)
                await anyio.sleep(WAIT_FOR_LIVE_SECONDS)
                continue
            self.tell(work)
            if sum(mark - work.filling.position(partition) for partition, mark in marks.items()) <= SWITCH_BELOW:
                return marks
            await work.filling.fill(marks)

    async def _claim_added(self, work: Work, log: LogView) -> None:
        """Partitions that a topic has got since it was begun."""
        for partition in log.partitions.keys() - work.filling.claimed.keys():
            async with self._database.transaction() as connection:
                place = log.partitions[partition]
                work.filling.adopt(
                    partition,
                    await self._checkpoints.claim(connection, self._name, work.generation.generation, place),
                )

    async def _switch(self, work: Work) -> RebuildResult:
        """Steps 2 to 4. Raises CheckpointFenced when a live runner has taken over meanwhile."""
        row = work.generation
        work.lease.state = self.phase = "switching"
        async with self._database.transaction() as connection:
            await self._generations.renew(connection, row, "switching", work.lease.seconds)
            live = self._live(await self._generations.live(connection, self._name))
            rows = await self._checkpoints.read(connection, self._name, live.generation)
            stopped = [await self._checkpoints.claim(connection, self._name, live.generation, one.log) for one in rows]
        log = await LogView.of(self._transport, self._projection)
        marks = self._marks(live, stopped, log)
        if marks.keys() - work.filling.claimed.keys():
            raise CheckpointFenced(f"{self._name!r}: partitions were added")
        self._total = sum(marks.values())
        self._refuse_beyond(work, marks)
        await work.filling.fill(marks)
        rows_compared = self._compared and live.version == row.version and not log.is_foreign_to(stopped)
        tables = await self.compare_with_live(work, live, stopped, rows=rows_compared)
        async with self._database.transaction() as connection:
            await self._generations.renew(connection, row, "switching", work.lease.seconds)
            for checkpoint in stopped:
                again = await self._checkpoints.claim(connection, self._name, live.generation, checkpoint.log)
                if (again.epoch, again.next_offset) != (checkpoint.epoch + 1, checkpoint.next_offset):
                    raise CheckpointFenced(f"{self._name!r}: a live runner has gone on")
            await self._generations.switch(connection, row, live)
        return RebuildResult(
            self._name, row.generation, row.version, False, True, marks, tables, rows_compared, seconds=0.0
        )

    async def compare_with_live(
        self, work: Work, live: Generation, stopped: Sequence[Checkpoint], *, rows: bool
    ) -> list[TableComparison]:
        """Raises CheckpointFenced when the live generation is not at V any more, RebuildRefused when rows differ."""
        self.phase = "comparing"
        self.tell(work)
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
                await self._generations.abandon(connection, work.generation)
            shown = "; ".join(
                f"{table.table} ({table.live_rows} rows live, {table.new_rows} new): keys "
                f"{', '.join(table.differing_keys)}"
                for table in differing
            )
            raise RebuildRefused(
                f"the rebuild of {self._name!r} does not switch: at the same offsets its rows differ from the live "
                f"ones, in {shown}. The live view stays as it is, the new tables are kept to look at. If the code has "
                f"changed on purpose, raise version={work.generation.version}; if not, its functions do not depend on "
                "their events alone, or somebody else has written the live rows"
            )
        return tables

    def _marks(self, live: Generation, rows: Sequence[Checkpoint], log: LogView) -> dict[TopicPartition, int]:
        return log.marks(rows, same_version=live.version == self._projection.projection_version)

    def _refuse_beyond(self, work: Work, marks: Mapping[TopicPartition, int]) -> None:
        for partition, mark in marks.items():
            if work.at_least(partition) > mark:
                raise RebuildRefused(
                    f"generation {work.generation.generation} of {self._name!r} is at offset "
                    f"{work.at_least(partition)} of {partition.topic}-{partition.partition}, past the live one "
                    f"({mark}): build anew with --restart"
                )

    def _live(self, live: Generation | None) -> Generation:
        if live is None:
            raise RebuildRefused(f"projection {self._name!r} has no live generation: start the service once")
        return live

    def tell(self, work: Work, *, done: int | None = None, total: int | None = None) -> None:
        """Says how far it has come: in offsets, unless *done* and *total* count something else."""
        if self._progress is None:
            return
        if done is None:
            done = min(self._total, sum(work.filling.position(partition) for partition in work.filling.claimed))
        if total is None:
            total = self._total
        rate = self._meter.rate(self.phase, done)
        left = None if rate <= 0 else (total - done) / rate
        self._progress(RebuildProgress(self._name, work.generation.generation, self.phase, done, total, rate, left))
