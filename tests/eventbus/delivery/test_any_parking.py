import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from eventbus.database import Database, DeadLetters, LetterFilter, LetterRetries
from eventbus.delivery import Drain, EventDelivery
from eventbus.delivery.event_claim import EventClaim
from eventbus.handlers import handles
from eventbus.store import UnitOfWork
from tests.eventbus.delivery.service import (
    Paid,
    delivery,
    draining,
    effects,
    letters_in,
    make_effects_table,
    parked_in,
    place,
    record,
    take_effect,
)

Step = Literal["deliver", "mend", "break", "retry", "discard", "drain", "reclaim"]

KEYS = ("a", "b", "c")
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.sampled_from(
        ("deliver", "deliver", "deliver", "mend", "break", "retry", "discard", "drain", "drain", "reclaim")
    ),
    min_size=4,
    max_size=30,
)
LOGS = st.lists(st.tuples(st.sampled_from(KEYS), st.booleans()), min_size=30, max_size=30)
BATCH = 4


@dataclass
class Model:
    """What the test knows: the log, and what was discarded. All else is asked of the database, and must fit."""

    log: Sequence[tuple[str, bool]]
    is_broken: bool = True
    delivered: int = 0
    discarded: set[int] = field(default_factory=set[int])


async def check(database: Database, model: Model) -> None:
    """Every event that was delivered is in one place, and none of a key has passed one that is dead."""
    async with database.reading() as connection:
        rows = (await connection.execute(select(effects).order_by(effects.c.position))).all()
    dead = [letter.offset for letter in await letters_in(database)]
    for key in KEYS:
        log = [number for number in range(model.delivered) if model.log[number][0] == key]
        taken = [row.number for row in rows if row.handler == "moody" and model.log[row.number][0] == key]
        waiting = await parked_in(database, key.encode())
        of_key = [number for number in dead if model.log[number][0] == key]
        assert taken == sorted(taken)
        assert waiting == sorted(waiting)
        assert sorted([*taken, *waiting, *of_key, *model.discarded.intersection(log)]) == log
        if of_key:
            assert len(of_key) == 1
            assert max(taken, default=-1) < of_key[0] < min(waiting, default=len(model.log))
        assert [row.number for row in rows if row.handler == "sound" and model.log[row.number][0] == key] == log


async def play(model: Model, steps: Sequence[Step], template: Path) -> None:
    @handles(Paid, attempts=1)
    async def moody(event: Paid, work: UnitOfWork) -> None:
        await take_effect(work, event.number, "moody")
        if model.is_broken and model.log[event.number][1]:
            raise RuntimeError("broken")

    @handles(Paid)
    async def sound(event: Paid, work: UnitOfWork) -> None:
        await take_effect(work, event.number, "sound")

    with tempfile.TemporaryDirectory() as directory:
        shutil.copyfile(template, f"{directory}/shop.sqlite3")
        database = Database.from_url(f"sqlite:///{directory}/shop.sqlite3")
        await make_effects_table(database)
        subject, drain = delivery(database, moody, sound), draining(database, moody, sound)
        claim = await subject.claim(place(), 0, len(model.log))
        for step in [*steps, "mend", "retry", "drain"]:
            claim = await take(step, model, database, subject, drain, claim)
            await check(database, model)
        assert await letters_in(database) == []
        assert [await parked_in(database, key.encode()) for key in KEYS] == [[], [], []]
        await database.aclose()


async def take(
    step: str, model: Model, database: Database, subject: EventDelivery, drain: Drain, claim: EventClaim
) -> EventClaim:
    match step:
        case "deliver":
            end = min(model.delivered + BATCH, len(model.log))
            batch = [
                record(Paid(number=number), number, key=model.log[number][0].encode())
                for number in range(model.delivered, end)
            ]
            await subject.apply(claim, batch, end)
            model.delivered = end
        case "mend" | "break":
            model.is_broken = step == "break"
        case "retry" | "discard":
            async with database.transaction() as connection:
                ids = await DeadLetters().ids(connection, LetterFilter())
                if step == "retry":
                    await LetterRetries().request(connection, ids, datetime.now(UTC))
                elif ids:
                    letter = await DeadLetters().show(connection, ids[0])
                    assert letter is not None
                    model.discarded.add(letter.offset)
                    await LetterRetries().remove(connection, ids[:1])
        case "drain":
            while await drain.once():
                pass
        case _:
            claim = await subject.claim(place(), 0, len(model.log))
    return claim


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=LOGS, steps=STEPS)
def test_whatever_comes_in_whatever_order_a_key_waits_behind_its_dead_event_and_nobody_else_does(
    sqlite_template: Path, log: list[tuple[str, bool]], steps: list[Step]
) -> None:
    """Delivered, broken, mended, retried, discarded, drained and claimed anew: order, and nothing lost or doubled."""
    asyncio.run(play(Model(log), steps, sqlite_template))
