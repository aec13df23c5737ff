"""
Goes back to a generation that was live before.

It has stood still since the switch, so it first catches up: the events from its checkpoints to the live ones are
applied, by the code that made it, and then it takes the live one's place at exactly the live offsets. Its rows may
differ from the live ones: that is why somebody goes back.

Code of another version than the generation's cannot apply anything to it. Then it is refused, with how much it would
miss; `behind=True` makes it live as it is: the release that made it goes on from its checkpoints.
"""

from collections.abc import Callable
from dataclasses import replace

from eventbus.clock import Clock, SystemClock
from eventbus.database.checkpoints import Checkpoints
from eventbus.database.engine import Database
from eventbus.database.inbox import Inbox
from eventbus.projections.build import Build
from eventbus.projections.definition import AnyProjection
from eventbus.projections.filling import Filling
from eventbus.projections.generations import Generation, Generations, RebuildRefused
from eventbus.projections.holder import new_holder
from eventbus.projections.lease import LEASE_SECONDS, Lease
from eventbus.projections.marks import LogView
from eventbus.projections.progress import RebuildProgress
from eventbus.projections.records import RecordDecoder
from eventbus.projections.takeover import RebuildResult, Takeover, Work
from eventbus.serialization.types import MessageTypes
from eventbus.transport.port import TopicPartition, Transport


class Rollback:
    """
    One rollback; `run` it once.

    generation   which one to go back to; None: the one that was live last
    behind       it is made live as it is, without what it has missed
    """

    def __init__(
        self,
        projection: type[AnyProjection],
        *,
        database: Database,
        transport: Transport,
        types: MessageTypes,
        generation: int | None = None,
        behind: bool = False,
        progress: Callable[[RebuildProgress], None] | None = None,
        clock: Clock | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._projection = projection
        self._name = projection.projection_name
        self._database = database
        self._transport = transport
        self._decoder = RecordDecoder(projection, types)
        self._number = generation
        self._behind = behind
        self._clock = clock if clock is not None else SystemClock()
        self._lease_seconds = lease_seconds
        self._generations = Generations(self._clock)
        self._checkpoints = Checkpoints()
        self._takeover = Takeover(
            projection,
            database=database,
            transport=transport,
            generations=self._generations,
            clock=self._clock,
            progress=progress,
            compared=False,
        )

    async def run(self) -> RebuildResult:
        """
        Catches up and switches. Raises RebuildRefused: none is kept, it is of another version than this code, the log
        does not hold what it has missed any more, an event fails. The live generation stays live then.
        """
        started = self._clock.monotonic()
        async with self._database.transaction() as connection:
            chosen = await self._generations.begin_returning(
                connection, self._name, self._number, new_holder(), self._lease_seconds
            )
        lease = Lease(self._database, self._generations, chosen, self._lease_seconds)
        result = await lease.during(lambda: self._return(chosen, lease))
        return replace(result, seconds=self._clock.monotonic() - started)

    async def _return(self, chosen: Generation, lease: Lease) -> RebuildResult:
        if self._behind:
            return await self._switch_behind(chosen, lease)
        code = (self._projection.projection_version, self._projection.fingerprint())
        if (chosen.version, chosen.fingerprint) != code:
            raise RebuildRefused(
                f"generation {chosen.generation} of {self._name!r} is of version {chosen.version}, this code is "
                f"version {self._projection.projection_version} and cannot bring it up to date: it has missed "
                f"{await self._missed(chosen)} offsets. Run this with the release that has version {chosen.version}, "
                "or make it live as it is with --behind: that release then goes on from where it was"
            )
        return await self._takeover.run(await self._work(chosen, lease))

    async def _work(self, chosen: Generation, lease: Lease) -> Work:
        log = await LogView.of(self._transport, self._projection)
        tables = Build(self._projection, chosen.generation, Inbox())
        async with self._database.transaction() as connection:
            claimed = {
                partition: await self._checkpoints.claim(connection, self._name, chosen.generation, place)
                for partition, place in log.partitions.items()
            }
        for partition, checkpoint in claimed.items():
            held, position = log.range(partition), checkpoint.next_offset or 0
            if position < held.start:
                raise RebuildRefused(
                    f"generation {chosen.generation} of {self._name!r} stands at offset {position} of "
                    f"{partition.topic}-{partition.partition}, and the log there begins at {held.start} now: "
                    f"{held.start - position} offsets that it has missed are gone"
                )
        filling = Filling(
            tables,
            claimed,
            database=self._database,
            transport=self._transport,
            decoder=self._decoder,
            skipped=frozenset(),
            moved=lambda: self._takeover.tell(work),
        )
        work = Work(chosen, tables, filling, lease)
        return work

    async def _switch_behind(self, chosen: Generation, lease: Lease) -> RebuildResult:
        """One transaction: the live runners are fenced, and find another generation live when they claim."""
        lease.state = "switching"
        async with self._database.transaction() as connection:
            await self._generations.renew(connection, chosen, "switching", self._lease_seconds)
            live = await self._generations.live(connection, self._name)
            if live is None:
                raise RebuildRefused(f"projection {self._name!r} has no live generation: start the service once")
            for row in await self._checkpoints.read(connection, self._name, live.generation):
                await self._checkpoints.claim(connection, self._name, live.generation, row.log)
            await self._generations.switch(connection, chosen, live)
            rows = await self._checkpoints.read(connection, self._name, chosen.generation)
        positions = {TopicPartition(row.log.topic, row.log.partition): row.next_offset or 0 for row in rows}
        return RebuildResult(
            self._name, chosen.generation, chosen.version, False, True, positions, (), False, seconds=0.0
        )

    async def _missed(self, chosen: Generation) -> int:
        """How many offsets the live generation is ahead."""
        async with self._database.reading() as connection:
            live = await self._generations.live(connection, self._name)
            ahead = [] if live is None else await self._checkpoints.read(connection, self._name, live.generation)
            behind = await self._checkpoints.read(connection, self._name, chosen.generation)
        reached = {(row.log.topic, row.log.partition): row.next_offset or 0 for row in behind}
        return sum(max(0, (row.next_offset or 0) - reached.get((row.log.topic, row.log.partition), 0)) for row in ahead)
