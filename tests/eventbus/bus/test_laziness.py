"""
What a command costs is what its handler asks for. Microseconds are measured by `python -m benchmarks.dispatch`; here it
is held that what makes them is not done.
"""

import gc

import pytest

from eventbus.bus import Buses, Model
from eventbus.clock import SystemClock
from eventbus.database import Database
from eventbus.handlers import Faults, HandlerDefinition, Middleware, Next
from eventbus.messages import Message, Metadata
from eventbus.observability import Counters
from eventbus.store import Transaction, Transactions
from tests.eventbus.bus import idle, shop

pytestmark = pytest.mark.anyio


class Counted(Transactions):
    """How often a transaction was begun."""

    begun = 0

    def begin(self, *, lazily: bool = False) -> Transaction:
        self.begun += 1
        return super().begin(lazily=lazily)


def buses(transactions: Transactions, *middleware: Middleware) -> Buses:
    faults = Faults()
    model = Model.of([idle, shop], faults)
    found = Buses.of(
        "idle-service",
        model,
        transactions,
        faults,
        clock=SystemClock(),
        counters=Counters(),
        middleware=middleware,
    )
    faults.raise_all()
    return found


async def test_a_handler_that_asks_for_nothing_begins_no_transaction(database: Database) -> None:
    """Its receipt has an id, and no events; one with an id of the caller's is remembered, so it does begin one."""
    transactions = Counted(database, "idle-service")
    commands = buses(transactions).commands
    first, second = await commands.send(idle.Idle()), await commands.send(idle.Idle())
    assert transactions.begun == 0
    assert first.event_ids == ()
    assert first.command_id != second.command_id
    await commands.send(idle.Idle(), id="once")
    assert transactions.begun == 1


async def test_metadata_is_made_once_for_whoever_asks(database: Database) -> None:
    """Handler and middleware see the same, with the receipt's id; that needs no transaction either."""
    seen: list[Metadata] = []

    async def look(message: Message, call_next: Next, metadata: Metadata, _: HandlerDefinition) -> object:
        seen.append(metadata)
        return await call_next()

    transactions = Counted(database, "idle-service")
    idle.seen.clear()
    receipt = await buses(transactions, look).commands.send(idle.IdleWithMetadata())
    assert seen[0] is idle.seen[0]
    assert (seen[0].id, seen[0].correlation_id, seen[0].causation_id) == (receipt.command_id, receipt.command_id, None)
    assert transactions.begun == 0


async def test_a_command_inside_a_command_joins_its_transaction(database: Database) -> None:
    """The outer one begins it then, once, and is the inner one's cause."""
    transactions = Counted(database, "idle-service")
    idle.seen.clear()
    receipt = await buses(transactions).commands.send(idle.Delegate())
    assert transactions.begun == 1
    assert idle.seen[0].causation_id == idle.seen[0].correlation_id == receipt.command_id


async def test_a_command_leaves_nothing_to_the_garbage_collector(database: Database) -> None:
    """What it was handled with refers to each other: a circle that is left costs every command its share of a walk."""
    commands = buses(Transactions(database, "idle-service")).commands
    await commands.send(shop.Sell(shop_id="s-1"))
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            await commands.send(shop.Sell(shop_id="s-1"))
        # Drivers and pools leave some; twenty commands used to leave more than 400.
        assert gc.collect() < 100
    finally:
        gc.enable()
