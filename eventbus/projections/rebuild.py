"""
Builds a projection anew beside the live one, and switches.

The new generation's tables and checkpoints are made under a lease: one rebuild or rollback of a projection at a time.
It is filled from the log, from the first offset of every partition, or from the event store and then from the log
(`store_scan.py`), and takes the live one's place as `takeover.py` says. Killed at any moment, it goes on where it was.
"""

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.clock import Clock, SystemClock
from eventbus.database.checkpoints import Checkpoint, Checkpoints
from eventbus.database.engine import Database
from eventbus.database.inbox import Inbox
from eventbus.database.tables import dead_letters
from eventbus.domain.topics import EventTopics
from eventbus.projections.build import Build
from eventbus.projections.comparison import TableComparison, count_rows
from eventbus.projections.definition import AnyProjection
from eventbus.projections.filling import Filling, Skipped
from eventbus.projections.generations import Generation, Generations, LeaseHeld, RebuildRefused
from eventbus.projections.holder import new_holder
from eventbus.projections.lease import LEASE_SECONDS, Lease
from eventbus.projections.marks import LogView
from eventbus.projections.progress import Phase, RebuildProgress
from eventbus.projections.records import RecordDecoder
from eventbus.projections.store_filling import StoreFilling, check_store_holds
from eventbus.projections.store_scan import StoreScan
from eventbus.projections.takeover import RebuildResult, Takeover, Work
from eventbus.serialization.types import MessageTypes
from eventbus.transport.port import TopicPartition, Transport


class Rebuild:
    """
    One rebuild; `run` it once.

    topics              which events the service's own aggregates record; for *from_store*, and to offer it
    from_store          filled from the event store first: for a log whose beginning is gone
    switch              False: built, and kept for a later one that switches
    built_only          only a build that is there is gone on with
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
        topics: EventTopics | None = None,
        from_store: bool = False,
        switch: bool = True,
        built_only: bool = False,
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
        self._topics = topics if topics is not None else EventTopics(())
        self._from_store = from_store
        self._switches = switch
        self._built_only = built_only
        self._restart = restart
        self._skip_dead_letters = skip_dead_letters
        self._clock = clock if clock is not None else SystemClock()
        self._lease_seconds = lease_seconds
        self._generations = Generations(self._clock)
        self._checkpoints = Checkpoints()
        self._holder = new_holder()
        self._takeover = Takeover(
            projection,
            database=database,
            transport=transport,
            generations=self._generations,
            clock=self._clock,
            progress=progress,
            compared=True,
        )

    async def run(self) -> RebuildResult:
        """
        Builds, compares and switches.

        Raises RebuildRefused: another one is under way, a log whose start was cut, an event that fails (with its
        place), rows that differ (with their keys). The live generation is as it was then, and live.
        """
        started = self._clock.monotonic()
        if self._from_store:
            check_store_holds(self._projection, self._topics)
        work, resumed = await self._begin_when_free()
        result = await work.lease.during(lambda: self._build(work))
        return replace(result, resumed=resumed, seconds=self._clock.monotonic() - started)

    async def _begin_when_free(self) -> tuple[Work, bool]:
        """Waits once for a lease to run out: a rebuild that was killed on another host has left one."""
        try:
            return await self._begin()
        except LeaseHeld as held:
            await self._clock.sleep(max(0.0, (held.expires_at - self._clock.now()).total_seconds()) + 0.1)
            return await self._begin()

    async def _begin(self) -> tuple[Work, bool]:
        log = await LogView.of(self._transport, self._projection)
        async with self._database.transaction() as connection:
            build, resumed = await self._generations.begin_building(
                connection,
                self._projection,
                self._holder,
                self._lease_seconds,
                restart=self._restart,
                store_scan=StoreScan().to_json() if self._from_store else None,
            )
            if self._built_only and not resumed:
                raise RebuildRefused(
                    f"projection {self._name!r} has no generation of version {build.version} that was built: "
                    f"`eventbus projections rebuild {self._name} --no-switch` builds one"
                )
            tables = Build(self._projection, build.generation, Inbox())
            await tables.create(connection)
            claimed = {
                partition: await self._claim(connection, log, partition, build, resumed) for partition in log.partitions
            }
            skipped = await self._skipped(connection)
        filling = Filling(
            tables,
            claimed,
            database=self._database,
            transport=self._transport,
            decoder=self._decoder,
            skipped=skipped,
            moved=lambda: self._takeover.tell(work),
        )
        lease = Lease(self._database, self._generations, build, self._lease_seconds)
        work = Work(build, tables, filling, lease)
        return work, resumed

    async def _claim(
        self, connection: AsyncConnection, log: LogView, partition: TopicPartition, build: Generation, resumed: bool
    ) -> Checkpoint:
        checkpoint = await self._checkpoints.claim(connection, self._name, build.generation, log.partitions[partition])
        held = log.range(partition)
        if build.store_scan is not None and checkpoint.next_offset is None and not resumed:
            # Step 1 of a build from the store: whatever lies before the log's end is in the store.
            checkpoint = await self._checkpoints.advance(connection, checkpoint, held.end)
        if (checkpoint.next_offset or 0) < held.start:
            raise RebuildRefused(self._cut_words(partition, held.start))
        return checkpoint

    def _cut_words(self, partition: TopicPartition, start: int) -> str:
        words = (
            f"projection {self._name!r} cannot be rebuilt from the log: {partition.topic}-{partition.partition} begins "
            f"at offset {start}, what was before is gone (retention, or deleted records). The live view stays as it is"
        )
        try:
            check_store_holds(self._projection, self._topics)
        except RebuildRefused:
            return words
        return (
            f"{words}. Its events are this service's own, so they are in the event store: `eventbus projections "
            f"rebuild {self._name} --from-store`"
        )

    async def _build(self, work: Work) -> RebuildResult:
        if work.generation.store_scan is not None:
            work = await self._read_store(work)
        if self._switches:
            return await self._takeover.run(work)
        await work.filling.fill(await self._takeover.approach(work))
        async with self._database.transaction() as connection:
            await self._generations.keep_built(connection, work.generation)
        async with self._database.reading() as connection:
            tables = [
                TableComparison(table.name, None, await count_rows(connection, table), ())
                for table in work.tables.tables
            ]
        self._takeover.phase = "built"
        self._takeover.tell(work)
        positions = {partition: work.filling.position(partition) for partition in work.filling.claimed}
        row = work.generation
        return RebuildResult(
            self._name, row.generation, row.version, False, False, positions, tables, False, seconds=0.0
        )

    async def _read_store(self, work: Work) -> Work:
        def moved(phase: Phase, scan: StoreScan) -> None:
            self._takeover.phase = phase
            self._takeover.tell(work, done=scan.read, total=max(scan.read, scan.total))

        async with self._database.reading() as connection:
            skipped = await self._skipped_ids(connection)
        scan = await StoreFilling(
            work.generation,
            work.tables,
            database=self._database,
            transport=self._transport,
            generations=self._generations,
            decoder=self._decoder,
            skipped=skipped,
            moved=moved,
        ).fill()
        return replace(work, floor=scan.floor or {})

    async def _skipped(self, connection: AsyncConnection) -> Skipped:
        if not self._skip_dead_letters:
            return frozenset()
        columns = dead_letters.c
        statement = select(columns.topic, columns.partition, columns.offset).where(columns.consumer == self._name)
        return frozenset((topic, partition, offset) for topic, partition, offset in await connection.execute(statement))

    async def _skipped_ids(self, connection: AsyncConnection) -> frozenset[str]:
        if not self._skip_dead_letters:
            return frozenset()
        statement = select(dead_letters.c.message_id).where(dead_letters.c.consumer == self._name)
        return frozenset(id for (id,) in await connection.execute(statement) if id is not None)
