"""How a process finds out whether its checkpoints are still its own, among those of everybody else."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, text

from eventbus.database import Checkpoint, Checkpoints, Database, LogPartition
from eventbus.database.checkpoints import _EPOCHS
from eventbus.database.tables import checkpoints
from eventbus.delivery import fenced_claims
from eventbus.delivery.event_claim import EventClaim, Parkings

pytestmark = pytest.mark.anyio

LOG = LogPartition("cluster-1", "orders", "topic-id-1", 0)
OTHERS = 3000


def claim(checkpoint: Checkpoint) -> EventClaim:
    return EventClaim(checkpoint, 0, {}, Parkings(possible=False))


async def fill(database: Database) -> None:
    """Checkpoints of others, as many consumers and generations leave them."""
    others = [
        {
            "consumer": f"consumer-{number % 30}",
            "generation": number % 10,
            "topic": "orders",
            "partition": number,
            "cluster_id": "cluster-1",
            "topic_id": "topic-id-1",
            "epoch": 1,
            "next_offset": number,
            "updated_at": datetime.now(UTC),
        }
        for number in range(OTHERS)
    ]
    async with database.transaction() as connection:
        await connection.execute(insert(checkpoints), others)
        await connection.execute(text("ANALYZE"))


async def test_claims_that_others_have_taken_over_are_found(database: Database) -> None:
    """Those, and no others; of no claims there is nothing to ask."""
    store = Checkpoints()
    async with database.transaction() as connection:
        places = [replace(LOG, partition=number) for number in range(3)]
        claims = [claim(await store.claim(connection, "service", 0, place)) for place in places]
        await store.claim(connection, "service", 0, places[1])
        claims[2].checkpoint = await store.advance(connection, claims[2].checkpoint, 9)
    assert await fenced_claims(database, claims) == [claims[1]]
    assert await fenced_claims(database, []) == []


async def test_epochs_are_looked_up_by_the_primary_key_among_thousands(database: Database) -> None:
    """However many checkpoints a database has, a look costs what is asked for."""
    await fill(database)
    statement = str(_EPOCHS.sqlite if database.dialect == "sqlite" else _EPOCHS.postgresql)
    async with database.reading() as connection:
        if database.dialect == "sqlite":
            asked: dict[str, object] = {"places": '[["service", 0, "orders", 0, "cluster-1", "topic-id-1"]]'}
            rows = await connection.execute(text(f"EXPLAIN QUERY PLAN {statement}"), asked)
            plan = "\n".join(str(row.detail) for row in rows)
            assert "SEARCH c USING INDEX" in plan, plan
            assert "SCAN c" not in plan, plan
        else:
            names = ("consumers", "generations", "topics", "partitions", "cluster_ids", "topic_ids")
            asked = dict(zip(names, (["service"], [0], ["orders"], [0], ["cluster-1"], ["topic-id-1"]), strict=True))
            rows = await connection.execute(text(f"EXPLAIN {statement}"), asked)
            plan = "\n".join(str(row[0]) for row in rows)
            assert "Index" in plan, plan
            assert "Seq Scan on eventbus_checkpoints" not in plan, plan
