import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventbus.database import Database
from eventbus.handlers import handles
from eventbus.store import UnitOfWork
from eventbus.transport import IncomingRecord
from tests.eventbus.delivery.service import (
    Paid,
    Refunded,
    delivery,
    effects_in,
    letters_in,
    make_effects_table,
    place,
    record,
    take_effect,
)

Fate = Literal["good", "fails once", "fails always", "undecodable", "unknown", "repeat"]

FATES: st.SearchStrategy[list[Fate]] = st.lists(
    st.sampled_from(("good", "good", "good", "fails once", "fails always", "undecodable", "unknown", "repeat")),
    min_size=1,
    max_size=25,
)


def as_record(fate: Fate, offset: int) -> IncomingRecord:
    match fate:
        case "undecodable":
            return IncomingRecord("payments", 0, offset, None, b"?", [("ce_type", b"Paid")], 0)
        case "unknown":
            return record(Refunded(number=offset), offset)
        case "repeat":
            return record(Paid(number=offset), offset, message_id="e-again")
        case _:
            return record(Paid(number=offset), offset)


async def delivered(fates: Sequence[Fate], cuts: Sequence[int], template: Path) -> tuple[list[int], list[int], int]:
    """Delivers the records in batches cut at these places: effects, offsets of dead letters, the checkpoint."""
    failed: set[int] = set()

    @handles(Paid, attempts=2, backoff_seconds=0.0, backoff_seconds_max=0.0, on_failure="dead-letter")
    async def take(event: Paid, work: UnitOfWork) -> None:
        await take_effect(work, event.number)
        fate = fates[event.number]
        if fate == "fails always" or (fate == "fails once" and event.number not in failed):
            failed.add(event.number)
            raise RuntimeError(fate)

    with tempfile.TemporaryDirectory() as directory:
        shutil.copyfile(template, f"{directory}/shop.sqlite3")
        database = Database.from_url(f"sqlite:///{directory}/shop.sqlite3")
        await make_effects_table(database)
        subject = delivery(database, take)
        claim = await subject.claim(place(), 0, len(fates))
        edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(fates)}), len(fates)]
        for start, end in pairwise(edges):
            await subject.apply(claim, [as_record(fates[offset], offset) for offset in range(start, end)], end)
        found = await effects_in(database), [letter.offset for letter in await letters_in(database)]
        await database.aclose()
        return (*found, claim.next_offset)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fates=FATES, cuts=st.lists(st.integers(1, 24), max_size=6))
def test_however_records_are_batched_each_takes_effect_once_in_order_or_is_a_dead_letter(
    sqlite_template: Path, fates: list[Fate], cuts: list[int]
) -> None:
    """Failures, repeats, unknown types and broken bytes in any mixture: nothing is lost, doubled or out of order."""
    effects, letters, checkpoint = asyncio.run(delivered(fates, cuts, sqlite_template))
    repeats = [offset for offset, fate in enumerate(fates) if fate == "repeat"]
    assert effects == [
        offset
        for offset, fate in enumerate(fates)
        if fate in {"good", "fails once"} or (fate == "repeat" and offset == repeats[0])
    ]
    assert sorted(letters) == [offset for offset, fate in enumerate(fates) if fate in {"fails always", "undecodable"}]
    assert checkpoint == len(fates)
