"""
The process under test: the accounts service without HTTP, told by a pipe what to do.

Told       ("send", [(command id, account, number), …])   ("rebuild", projection)   ("rebuild from store", projection)
           ("rollback", projection)   ("partitions",)   ("stop",)
Answers    ("ready",)   ("receipt", command id, [event id, …])   ("failed", command id, text)
           ("partitions", [how many a consumer has, …])   ("rebuilt", generation, resumed)   ("stopped",)
A receipt that has been answered is an acknowledged command: it may never be lost.
"""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from eventbus import Application, EventBusError
from eventbus.projections import Rebuild, Rollback, filling, store_filling, takeover
from eventbus.projections.progress import RebuildProgress
from tests.crash import accounts
from tests.crash.delivery_breaks import BREAKS
from tests.crash.kill_points import KillPlan, arm
from tests.crash.parts import Part, modules_of

SERVICE = "accounts"
PARTITIONS = 3
REBUILD_BATCH = 40
REBUILD_LEASE_SECONDS = 1.0
_AT_ONCE = 8

Message = tuple[str, *tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Where a service works: the log, the database, the file for its words, and a name that it keeps over restarts."""

    broker_url: str
    database_url: str
    words: Path
    instance_id: str | None = None


def main(settings: ServiceSettings, part: Part, plan: KillPlan | None, breaks: Sequence[str], pipe: Connection) -> None:
    """The process' life; a clean end is exit code 0."""
    words = os.open(settings.words, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(words, sys.stdout.fileno())
    os.dup2(words, sys.stderr.fileno())
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {os.getpid()} %(name)s %(message)s", force=True)
    for name in breaks:
        BREAKS[name]()
    told = arm(plan) if plan is not None else lambda progress: None
    anyio.run(_Service(settings, part, pipe, told).run)


class _Service:
    def __init__(
        self, settings: ServiceSettings, part: Part, pipe: Connection, told: Callable[[RebuildProgress], None]
    ) -> None:
        self._app = Application(
            SERVICE,
            modules=modules_of(part),
            broker_url=settings.broker_url,
            database_url=settings.database_url,
            instance_id=settings.instance_id,
            partitions=PARTITIONS,
        )
        self._pipe = pipe
        self._told = told
        self._limit = anyio.CapacityLimiter(_AT_ONCE)

    async def run(self) -> None:
        first = await anyio.to_thread.run_sync(self._pipe.recv)
        if first[0] in ("rebuild", "rebuild from store", "rollback"):
            await self._rebuild(*first)
        else:
            await self._serve(first)

    async def _serve(self, first: Message) -> None:
        async with self._app.lifespan():
            async with self._app.database.transaction() as connection:
                await connection.run_sync(accounts.effects.metadata.create_all)
            self._pipe.send(("ready",))
            async with anyio.create_task_group() as tasks:
                message = first
                while message[0] != "stop":
                    await self._do(message, tasks)
                    message = await self._next()
        self._pipe.send(("stopped",))

    async def _next(self) -> Message:
        message: Message = await anyio.to_thread.run_sync(self._pipe.recv)
        return message

    async def _do(self, message: Message, tasks: TaskGroup) -> None:
        match message:
            case ("send", list(commands)):
                for id, account, number in commands:
                    tasks.start_soon(self._send, id, account, number)
            case ("partitions",):
                consumers = (await self._app.status())["consumers"]
                self._pipe.send(("partitions", [consumer["partitions"] for consumer in consumers] or [0, 0, 0]))
            case _:
                raise AssertionError(f"nobody knows what to do with {message}")

    async def _send(self, id: str, account: str, number: int) -> None:
        async with self._limit:
            try:
                receipt = await self._app.send(accounts.Deposit(account=account, number=number), id=id)
            except EventBusError as error:
                self._pipe.send(("failed", id, str(error)))
            else:
                self._pipe.send(("receipt", id, list(receipt.event_ids)))

    async def _rebuild(self, what: str, projection: str) -> None:
        # Small steps, so that a log of some hundred events has a 30 % and a 70 %.
        filling.RECORDS_A_TRANSACTION = store_filling.EVENTS_A_TRANSACTION = REBUILD_BATCH
        takeover.SWITCH_BELOW = REBUILD_BATCH
        chosen = next(one for one in self._app.projections if one.projection_name == projection)
        async with self._app.connected() as connection:
            work = Rollback if what == "rollback" else Rebuild
            if what == "rebuild from store":
                work = partial(Rebuild, topics=self._app.model.topics, from_store=True)
            result = await work(
                chosen,
                database=self._app.database,
                transport=connection.transport,
                types=self._app.model.types,
                progress=self._told,
                lease_seconds=REBUILD_LEASE_SECONDS,
            ).run()
        self._pipe.send(("rebuilt", result.generation, result.resumed))
