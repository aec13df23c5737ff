"""
When a projection's consumer runs in this process, and when it does not.

    running      the live generation is of this code's version, and nobody has paused it
    not built    another version is live: of the release before, until this one's is built and switched to; or of a
                 newer release, after it was. A consumer that could apply nothing would keep partitions from those
                 that can, so there is none
    paused       by an operator, for all processes
    stopped      its log is not the one that the rows came from; it is tried again when another generation is live

What is live and what is paused stands in the database: looked at once a second, and at once when a claim meets it.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskStatus

from eventbus.clock import Clock
from eventbus.database.checkpoints import LogPartition
from eventbus.database.engine import Database
from eventbus.delivery import Consumer
from eventbus.delivery.consumer_status import PartitionStatus
from eventbus.delivery.wakeup import Wakeup
from eventbus.errors import DatabaseUnavailable, SchemaOutdated
from eventbus.projections.definition import AnyProjection
from eventbus.projections.generations import Generations, check_shape
from eventbus.projections.pauses import Pauses, ProjectionPaused, paused_words
from eventbus.projections.runner import ProjectionClaim, ProjectionRunner
from eventbus.transport.port import IncomingRecord

_log = logging.getLogger(__name__)

POLL_SECONDS = 1.0

MakeConsumer = Callable[["_Watched"], Consumer]


@dataclass(frozen=True, slots=True)
class UpkeepStatus:
    """What this process does for a projection. `reason` says why it does not run."""

    name: str
    state: str
    reason: str | None
    partitions: tuple[PartitionStatus, ...]


@dataclass(frozen=True, slots=True)
class _Idle:
    """Why no consumer runs."""

    state: str
    reason: str
    generation: int | None = field(default=None, compare=False)
    """For a consumer that has stopped: the generation that was live then."""


class Upkeep:
    """Runs the consumer of one projection in one process, as long as it is of use, until `stop`."""

    def __init__(
        self,
        projection: type[AnyProjection],
        runner: ProjectionRunner,
        make: MakeConsumer,
        database: Database,
        clock: Clock,
    ) -> None:
        self._projection = projection
        self._name = projection.projection_name
        self._watched = _Watched(runner, self._doubt)
        self._make = make
        self._database = database
        self._generations = Generations(clock)
        self._consumer: Consumer | None = None
        self._idle: _Idle | None = _Idle("starting", "starting")
        self._look = Wakeup()
        self._begun = False
        self._stopping = False
        self._ended = anyio.Event()

    def status(self) -> UpkeepStatus:
        """What it is doing now."""
        if self._consumer is not None and not self._watched.waits:
            status = self._consumer.status()
            return UpkeepStatus(status.name, status.state, status.reason, status.partitions)
        state, reason = ("starting", None) if self._idle is None else (self._idle.state, self._idle.reason)
        return UpkeepStatus(self._name, state, reason, ())

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Until `stop`. Never raises."""
        self._begun = True
        task_status.started()
        try:
            while True:
                idle = await self._why_idle()
                if self._stopping:
                    return
                self._say(idle)
                if idle is None:
                    self._idle = await self._consume()
                else:
                    await self._look.wait(POLL_SECONDS)
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Ends `run`: batches in flight are finished as the consumer does it."""
        self._stopping = True
        self._look.set()
        if self._consumer is not None:
            await self._consumer.stop()
        if self._begun:
            await self._ended.wait()

    def _doubt(self) -> None:
        self._look.set()

    def _say(self, idle: _Idle | None) -> None:
        if idle is not None and idle != self._idle:
            _log.warning("%s: %s: %s", self._name, idle.state, idle.reason)
        elif idle is None and self._idle is not None and self._idle.state != "starting":
            _log.info("%s: goes on", self._name)
        self._idle = idle

    async def _why_idle(self) -> _Idle | None:
        """None: it is to run."""
        try:
            async with self._database.reading() as connection:
                live = await self._generations.live(connection, self._name)
                pause = await Pauses().find(connection, self._name)
        except DatabaseUnavailable as error:
            # A consumer that runs deals with that itself.
            return self._idle if self._consumer is not None else _Idle("waiting for the database", str(error))
        if live is None:
            return _Idle("not built", "it has no tables here yet: start the service once more")
        try:
            check_shape(self._projection, live)
        except SchemaOutdated as outdated:
            return _Idle("not built", str(outdated))
        if self._idle is not None and self._idle.state == "stopped" and self._idle.generation == live.generation:
            return self._idle
        self._watched.generation = live.generation
        return None if pause is None else _Idle("paused", paused_words(pause))

    async def _consume(self) -> _Idle | None:
        """Runs a consumer until there is a reason not to; that reason, if it is the consumer's own."""
        self._watched.waits = False
        self._consumer = consumer = self._make(self._watched)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, tasks.cancel_scope)
                await consumer.run()
                tasks.cancel_scope.cancel()
        finally:
            self._consumer = None
        status = consumer.status()
        if self._stopping or self._watched.waits or status.reason is None:
            return None
        return _Idle("stopped", status.reason, self._watched.generation)

    async def _watch(self, scope: anyio.CancelScope) -> None:
        """Ends the consumer when it is not to run any more: what it has under way is rolled back, or fenced already."""
        while True:
            await self._look.wait(POLL_SECONDS)
            if self._stopping:
                # `Consumer.stop` ends it; but a claim may wait for somebody else, and holds nothing.
                if self._watched.claims:
                    scope.cancel()
            elif await self._why_idle() is not None:
                scope.cancel()


class _Watched:
    """
    The runner, seen by its consumer. A claim that meets a pause or another version waits to be ended: the consumer
    would try it again and again, and say so each time.
    """

    def __init__(self, runner: ProjectionRunner, doubt: Callable[[], None]) -> None:
        self._runner = runner
        self._doubt = doubt
        self.claims = 0
        """Claims under way."""
        self.waits = False
        """One of them has met a pause, or another version."""
        self.generation: int | None = None

    @property
    def name(self) -> str:
        return self._runner.name

    @property
    def group_id(self) -> str:
        return self._runner.group_id

    @property
    def topics(self) -> Sequence[str]:
        return self._runner.topics

    async def claim(self, log: LogPartition, start: int, end: int) -> ProjectionClaim:
        self.claims += 1
        try:
            return await self._runner.claim(log, start, end)
        except (SchemaOutdated, ProjectionPaused):
            self.waits = True
            self._doubt()
            await anyio.sleep_forever()
            raise
        finally:
            self.claims -= 1

    async def apply(self, claim: ProjectionClaim, records: Sequence[IncomingRecord], next_offset: int) -> None:
        await self._runner.apply(claim, records, next_offset)

    async def release(self, claim: ProjectionClaim) -> None:
        await self._runner.release(claim)
