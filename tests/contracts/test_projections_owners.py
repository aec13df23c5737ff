"""Two processes, each the owner of one partition, update the same rows at the same time, on each database."""

import multiprocessing
from collections.abc import Sequence
from decimal import Decimal
from multiprocessing.synchronize import Barrier
from typing import Final

import anyio
import pytest

from eventbus.clock import SystemClock
from eventbus.database import Database
from eventbus.projections import View, prepare_projections
from eventbus.testing.contracts.given_log import Feeder, OrdersLog
from eventbus.testing.contracts.orders import CustomerTotal, CustomerTotals, placed

pytestmark = pytest.mark.anyio

ORDERS: Final = 600
CUSTOMERS: Final = 5
BATCH: Final = 6
_forks: Final = multiprocessing.get_context("forkserver")


def the_log() -> OrdersLog:
    """The same for everybody who makes it: orders of each customer lie in both partitions."""
    log = OrdersLog(partitions=2)
    for number in range(ORDERS):
        customer = f"c-{number // 2 % CUSTOMERS}"
        log.append(placed(f"o-{number}", total="1", customer_id=customer), number % 2, stream=f"Order-o-{number}")
    return log


def own(database_url: str, partition: int, both: Barrier) -> None:
    """The life of one owner."""

    async def feed() -> None:
        database = Database.from_url(database_url, wait_seconds=30)
        feeder = Feeder(the_log(), CustomerTotals, database)
        await feeder.claim(partition)
        both.wait(30)
        await feeder.feed(BATCH, [partition])
        await database.aclose()

    anyio.run(feed)


def rows_of(totals: Sequence[CustomerTotal]) -> dict[str, tuple[int, Decimal]]:
    return {row.customer_id: (row.orders, row.total) for row in totals}


async def test_two_processes_lose_no_update_of_the_rows_that_they_share(database: Database, database_url: str) -> None:
    """Missing rows, too: the first orders of every customer arrive in both at once."""
    await prepare_projections(database, [CustomerTotals], SystemClock())
    both = _forks.Barrier(2)
    owners = [_forks.Process(target=own, args=(database_url, number, both), daemon=True) for number in range(2)]
    for owner in owners:
        owner.start()
    for owner in owners:
        await anyio.to_thread.run_sync(owner.join, 60)
        assert owner.exitcode == 0
    each = ORDERS // CUSTOMERS
    expected = {f"c-{number}": (each, Decimal(each)) for number in range(CUSTOMERS)}
    assert rows_of(await View(CustomerTotals, database).select()) == expected
