"""Any split of the log into batches gives the same rows."""

import asyncio
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventbus.clock import SystemClock
from eventbus.database import Database
from eventbus.messages import Event
from eventbus.projections import View, prepare_projections
from eventbus.testing.contracts.given_log import Feeder, OrdersLog
from eventbus.testing.contracts.orders import OrderForgotten, OrderPaid, OrderSummaries, OrderSummary, placed
from tests.contracts.databases import sqlite_template

__all__ = ["sqlite_template"]

ORDERS = st.sampled_from(["o-1", "o-2", "o-3"])
EVENTS: st.SearchStrategy[Event] = st.one_of(
    ORDERS.map(placed),
    ORDERS.map(lambda order: OrderPaid(order_id=order)),
    ORDERS.map(lambda order: OrderForgotten(order_id=order)),
)
STEPS = st.lists(st.tuples(EVENTS, st.booleans()), max_size=25)


async def rows_of(template: Path, log: OrdersLog, batches: list[int]) -> list[OrderSummary]:
    """What the table holds after the log was applied in batches of these sizes, each by a new owner."""
    with TemporaryDirectory() as directory:
        shutil.copyfile(template, f"{directory}/shop.sqlite3")
        database = Database.from_url(f"sqlite:///{directory}/shop.sqlite3")
        await prepare_projections(database, [OrderSummaries], SystemClock())
        feeder = Feeder(log, OrderSummaries, database)
        sizes = iter(batches)
        claim = await feeder.claim(0)
        while claim.next_offset < (end := len(log.partitions[0])):
            last = min(claim.next_offset + next(sizes, end), end)
            await feeder.runner.apply(claim, log.records(0, claim.next_offset, last), last)
            claim = await feeder.claim(0)
        rows = await View(OrderSummaries, database).select()
        await database.aclose()
        return rows


@pytest.mark.usefixtures("sqlite_template")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, batches=st.lists(st.integers(min_value=1, max_value=9), max_size=25))
def test_any_split_into_batches_gives_the_rows_of_the_pure_fold(
    sqlite_template: Path, steps: list[tuple[Event, bool]], batches: list[int]
) -> None:
    """With repeats that the relay has published again, anywhere behind the first."""
    log = OrdersLog()
    events: list[Event] = []
    versions: dict[str, int] = {}
    for event, is_repeated in steps:
        stream = f"Order-{event.order_id}"  # type: ignore[attr-defined]
        events.append(event)
        versions[stream] = versions.get(stream, 0) + 1
        for _ in range(2 if is_repeated else 1):
            log.append(event, stream=stream, version=versions[stream])
    expected = sorted(OrderSummaries.fold(events), key=lambda row: row.order_id)
    assert asyncio.run(rows_of(sqlite_template, log, batches)) == expected
