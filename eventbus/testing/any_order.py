"""
Projections in tests: what events leave in the tables, and whether their order across topics matters.

    [orders] = await project(OrderSummaries, placed, paid)
    await any_order(OrderSummaries, [placed, cancelled], [paid])

Both run the projection's own writer on real tables in memory, as a rebuild does.
"""

import random
from collections.abc import Iterator, Sequence
from math import factorial, prod

from eventbus.database import Database, Inbox
from eventbus.messages import Event
from eventbus.projections import AnyProjection, Build
from eventbus.projections.build import ProjectedEvent
from eventbus.testing.memory_tables import Rows, memory_database, rows_of


async def project(projection: type[AnyProjection], /, *events: Event) -> tuple[Rows, ...]:
    """
    The rows that *events* lead to, one list per table of the projection, in the order of their declaration.

    Events that it has no method for are passed over. Raises EventFailed when a method does; its cause is the error.
    """
    async with memory_database() as database:
        return await _rows(database, projection, 1, events)


async def any_order(
    projection: type[AnyProjection], /, *histories: Sequence[Event], limit: int = 100, seed: int = 0
) -> tuple[Rows, ...]:
    """
    The rows of *histories*, which have to be the same in whatever order the histories mix; each keeps its own order.

    histories   the events of one key on one topic each: their order is certain, that between them is not
    limit       so many orders are tried: all of them if there are no more, else a sample
    seed        of the sample

    Raises AssertionError, with two orders and the rows in which they differ; ValueError for a limit below 2.
    """
    __tracebackhide__ = True
    if limit < 2:
        raise ValueError(f"limit={limit}: at least 2 orders are needed for a comparison")
    async with memory_database() as database:
        first: Sequence[Event] = [event for history in histories for event in history]
        expected = await _rows(database, projection, 1, first)
        for number, order in enumerate(_orders(histories, limit, seed), start=2):
            found = await _rows(database, projection, number, order)
            if found != expected:
                raise AssertionError(
                    f"{projection.projection_name} depends on the order of its events\n"
                    f"{_shown(first)}\nleads to\n{_only_in(expected, found)}\n"
                    f"{_shown(order)}\nleads to\n{_only_in(found, expected)}"
                )
    return expected


async def _rows(
    database: Database, projection: type[AnyProjection], generation: int, events: Sequence[Event]
) -> tuple[Rows, ...]:
    build = Build(projection, generation, Inbox())
    taken = [event for event in events if type(event) in projection.event_types()]
    async with database.transaction() as connection:
        await build.create(connection)
        for number, event in enumerate(taken):
            await build.apply(connection, [ProjectedEvent(event, str(number), None, 0)])
        return await rows_of(connection, build)


def _orders(histories: Sequence[Sequence[Event]], limit: int, seed: int) -> Iterator[list[Event]]:
    lengths = [len(history) for history in histories]
    if factorial(sum(lengths)) // prod(factorial(length) for length in lengths) <= limit:
        yield from _every_order(histories)
        return
    chance = random.Random(seed)
    turns = [index for index, length in enumerate(lengths) for _ in range(length)]
    for _ in range(limit - 1):
        chance.shuffle(turns)
        left = [iter(history) for history in histories]
        yield [next(left[turn]) for turn in turns]


def _every_order(histories: Sequence[Sequence[Event]]) -> Iterator[list[Event]]:
    if not any(histories):
        yield []
    for index, history in enumerate(histories):
        if history:
            for rest in _every_order([*histories[:index], history[1:], *histories[index + 1 :]]):
                yield [history[0], *rest]


def _shown(events: Sequence[Event]) -> str:
    return "\n".join(f"    {event!r}" for event in events)


def _only_in(one: tuple[Rows, ...], other: tuple[Rows, ...]) -> str:
    rows = [row for mine, others in zip(one, other, strict=True) for row in mine if row not in others]
    return "\n".join(f"    {row}" for row in rows) or "    no row that the other lacks"
