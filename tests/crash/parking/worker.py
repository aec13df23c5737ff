"""
A process that delivers up to some number, drains, and asks for every dead letter again and again like a patient
operator; it ends when nothing is left. With a plan it does not come that far.
"""

import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import anyio
from sqlalchemy import select

from eventbus.database import Database, LetterRetries
from eventbus.database.tables import dead_letters
from eventbus.errors import CheckpointFenced
from tests.crash.kill_points import KillPlan, arm
from tests.crash.parking.work import PLACE, count, count_in_lanes, read_world, records
from tests.eventbus.delivery.given_records import GivenRecords
from tests.eventbus.delivery.service import delivery, draining

BATCH = 30


def main(url: str, end: int, words: Path, plan: KillPlan | None) -> None:
    """The process' life; a clean end is exit code 0."""
    _live(url, end, words, plan, lanes=False)


def main_in_lanes(url: str, end: int, words: Path, plan: KillPlan | None) -> None:
    """The same with a handler that is at work on several keys at once."""
    _live(url, end, words, plan, lanes=True)


def _live(url: str, end: int, words: Path, plan: KillPlan | None, *, lanes: bool) -> None:
    said = os.open(words, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(said, sys.stdout.fileno())
    os.dup2(said, sys.stderr.fileno())
    logging.basicConfig(level=logging.INFO, format=f"{os.getpid()} %(name)s %(message)s", force=True)
    if plan is not None:
        arm(plan)
    anyio.run(work, url, end, lanes)


async def work(url: str, end: int, lanes: bool) -> None:
    """Delivers and drains until nothing is left of the log up to *end*."""
    database = Database.from_url(url)
    handler = count_in_lanes if lanes else count
    subject, drain = delivery(database, handler), draining(database, handler)

    async def deliver() -> None:
        while True:
            claim = await subject.claim(PLACE, 0, 1_000_000)
            try:
                if lanes:
                    given = GivenRecords(records(claim.next_offset, end), end, at_once=BATCH)
                    await subject.stream(claim, given)
                while claim.next_offset < end:
                    behind = min(claim.next_offset + BATCH, end)
                    await subject.apply(claim, records(claim.next_offset, behind), behind)
                return
            except CheckpointFenced:
                # Another process has it; it is taken back in a moment.
                await anyio.sleep(0.02)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(deliver)
        while True:
            await ask_for_all(database)
            while await drain.once():
                pass
            world = await read_world(database)
            if world.next_offset == end and len(world.effects) == end:
                break
            await anyio.sleep(0.005)
    await database.aclose()


async def ask_for_all(database: Database) -> None:
    """Every dead letter that waits for somebody is to be handled again."""
    async with database.transaction() as connection:
        waiting = select(dead_letters.c.id).where(dead_letters.c.retry_at.is_(None))
        ids = (await connection.execute(waiting)).scalars().all()
        await LetterRetries().request(connection, ids, datetime.now(UTC))
