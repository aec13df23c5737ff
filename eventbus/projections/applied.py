"""
Waiting for one's own writes: from a receipt to a view that has seen what it stands for.

A receipt has the ids of committed events. The relay leaves their offsets in the database when it has published them; a
view has seen them when its checkpoints have passed those offsets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import anyio
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.clock import Clock, SystemClock
from eventbus.database.checkpoints import Checkpoints
from eventbus.database.engine import Database
from eventbus.database.tables import generations, outbox, published
from eventbus.errors import NotYetApplied
from eventbus.messages import Receipt
from eventbus.projections.definition import AnyProjection
from eventbus.projections.pauses import Pause, Pauses, paused_words

_FIRST_POLL_SECONDS = 0.002
_POLL_SECONDS_MAX = 0.02


@dataclass(frozen=True, slots=True)
class _Missing:
    unpublished: int
    behind: Sequence[str]
    pause: Pause | None = None


async def wait_until_applied(
    database: Database,
    projection: type[AnyProjection],
    receipt: Receipt,
    timeout: float,
    *,
    clock: Clock | None = None,
) -> None:
    """
    Returns when the live generation has applied every event of *receipt* that is on the projection's topics.

    *timeout* in seconds. Raises NotYetApplied, saying whether the relay or the view is behind. Events that were
    published so long ago that the relay's note of it is gone count as applied.
    """
    if not receipt.event_ids:
        return
    time = clock if clock is not None else SystemClock()
    deadline = time.monotonic() + timeout
    pause = _FIRST_POLL_SECONDS
    while True:
        async with database.reading() as connection:
            missing = await _missing(connection, projection, receipt.event_ids)
        if not missing.unpublished and not missing.behind:
            return
        if time.monotonic() + pause > deadline:
            raise NotYetApplied(_words(projection.projection_name, missing, len(receipt.event_ids), timeout))
        await anyio.sleep(pause)
        pause = min(pause * 1.5, _POLL_SECONDS_MAX)


async def _missing(connection: AsyncConnection, projection: type[AnyProjection], event_ids: Sequence[str]) -> _Missing:
    """One snapshot: the relay moves rows from the outbox to `published` in one transaction, so none is in neither."""
    topics = projection.projection_topics
    waiting = select(outbox.c.id).where(outbox.c.id.in_(event_ids), outbox.c.topic.in_(topics))
    unpublished = len((await connection.execute(waiting)).all())
    places = select(published.c.topic, published.c.partition, published.c.offset).where(
        published.c.event_id.in_(event_ids), published.c.topic.in_(topics)
    )
    offsets = [
        (str(topic), int(partition), int(offset)) for topic, partition, offset in await connection.execute(places)
    ]
    if not offsets:
        return _Missing(unpublished, ())
    live = await connection.scalar(
        select(generations.c.generation).where(
            generations.c.projection == projection.projection_name, generations.c.state == "live"
        )
    )
    checkpoints = await Checkpoints().read(connection, projection.projection_name, live if live is not None else 0)
    reached = {(found.log.topic, found.log.partition): found.next_offset or 0 for found in checkpoints}
    behind = [
        f"{topic}-{partition} offset {offset} (it is at {reached.get((topic, partition), 0)})"
        for topic, partition, offset in sorted(offsets)
        if reached.get((topic, partition), 0) <= offset
    ]
    return _Missing(unpublished, behind, await Pauses().find(connection, projection.projection_name))


def _words(name: str, missing: _Missing, events: int, timeout: float) -> str:
    if missing.unpublished:
        return (
            f"{missing.unpublished} of {events} events were not in the log after {timeout:.3g} s: the relay has not "
            "published them yet; `eventbus outbox status` shows what waits"
        )
    words = f"view {name!r} had not applied {missing.behind[0]} after {timeout:.3g} s"
    return words if missing.pause is None else f"{words}; it is {paused_words(missing.pause)}"
