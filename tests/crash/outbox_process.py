"""
The process under test: writers of entries and a relay, as a service has them, without handlers.

Told       ("write", writers)   ("burst", transactions), ("burst for a slot", transactions): that many at once, for all
           keys or for those of one slot, then silence   ("rest",): the writers end, the relay goes on   ("stop",)
Answers    ("ready",)   ("resting",)
"""

import logging
import os
import random
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from eventbus.database import Database, Outbox, SlotLeases
from eventbus.delivery import Relay
from eventbus.errors import DatabaseUnavailable
from eventbus.store import EventOutbox
from eventbus.transport import KafkaTransport
from eventbus.transport.partitioning import slot_of
from tests.crash.breaks import BREAKS
from tests.crash.entries import KEYS, enter, keep_entering
from tests.crash.kill_points import KillPlan, arm
from tests.crash.service import Message


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """Where such processes work together, and the file for their words. The topic is named like the service."""

    bootstrap: str
    database_url: str
    service: str
    words: Path
    lease_seconds: float


def main(settings: OutboxSettings, holder: str, plan: KillPlan | None, breaks: Sequence[str], pipe: Connection) -> None:
    """The process' life; a clean end is exit code 0."""
    words = os.open(settings.words, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(words, sys.stdout.fileno())
    os.dup2(words, sys.stderr.fileno())
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {os.getpid()} %(name)s %(message)s", force=True)
    for name in breaks:
        BREAKS[name]()
    if plan is not None:
        arm(plan)
    anyio.run(_run, settings, holder, pipe)


async def _run(settings: OutboxSettings, holder: str, pipe: Connection) -> None:
    database = Database.from_url(settings.database_url)
    transport = KafkaTransport(settings.bootstrap)
    await transport.start()
    relay = Relay(
        database,
        Outbox(),
        SlotLeases(),
        transport,
        holder,
        service=settings.service,
        lease_seconds=settings.lease_seconds,
    )
    async with anyio.create_task_group() as tasks:
        await tasks.start(relay.run)
        await _listen(settings, database, pipe)
        await relay.stop()
    await transport.aclose()
    await database.aclose()


async def _listen(settings: OutboxSettings, database: Database, pipe: Connection) -> None:
    pipe.send(("ready",))
    ended = "stop"
    async with anyio.create_task_group() as writing:
        while True:
            match await _next(pipe):
                case ("write", int(writers)):
                    _write(writing, settings, database, writers)
                case ("burst", int(transactions)):
                    _burst(writing, settings, database, transactions, KEYS)
                case ("burst for a slot", int(transactions)):
                    # Who is frozen at it must not hold the database locked for another, or have published its rows.
                    slot = slot_of(random.choice(KEYS).encode())
                    keys = [key for key in KEYS if slot_of(key.encode()) == slot]
                    _burst(writing, settings, database, transactions, keys)
                case ("rest" | "stop" as ended,):
                    break
                case message:
                    raise AssertionError(f"nobody knows what to do with {message}")
        writing.cancel_scope.cancel()
    pipe.send(("resting",))
    if ended == "rest":
        await _next(pipe)


def _write(tasks: TaskGroup, settings: OutboxSettings, database: Database, writers: int) -> None:
    for _ in range(writers):
        seed = random.randrange(2**32)
        tasks.start_soon(keep_entering, database, settings.service, settings.service, seed)


def _burst(
    tasks: TaskGroup, settings: OutboxSettings, database: Database, transactions: int, keys: Sequence[str]
) -> None:
    chance, outbox = random.Random(), EventOutbox(settings.service)

    async def enter_once() -> None:
        # Who is frozen in a transaction holds all of a SQLite file.
        with suppress(DatabaseUnavailable):
            await enter(database, outbox, settings.service, chance, keys)

    for _ in range(transactions):
        tasks.start_soon(enter_once)


async def _next(pipe: Connection) -> Message:
    message: Message = await anyio.to_thread.run_sync(pipe.recv)
    return message
