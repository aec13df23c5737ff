"""`outbox.add()` in a transaction of the caller's own, and its rows as Debezium's EventRouter reads them."""

import json

import pytest
from sqlalchemy import Connection, create_engine, make_url, select, text
from sqlalchemy.event import listen
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from eventbus.database import Database, Outbox
from eventbus.messages import Event
from eventbus.store import EventOutbox
from eventbus.transport.partitioning import slot_of

pytestmark = pytest.mark.anyio
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Shipped(Event, name="Shipped"):
    number: int


async def test_an_event_goes_with_the_callers_asynchronous_transaction(database: Database) -> None:
    """Committed with it, rolled back with it."""
    outbox = EventOutbox("shop")
    with pytest.raises(RuntimeError, match="no"):
        async with database.transaction() as connection:
            await outbox.add(connection, Shipped(number=1), topic="orders", key="o-1")
            raise RuntimeError("no")
    async with database.transaction() as connection:
        session = AsyncSession(bind=connection)
        await session.execute(select(1))
        id = await outbox.add(session, Shipped(number=2), topic="orders", key="o-1")
        await session.commit()
    (row,) = await Outbox().claim(database, slot_of(b"o-1"), 10)
    assert (row.id, row.topic, row.key, row.type) == (id, "orders", "o-1", "Shipped")
    assert dict(row.headers)["ce_source"] == "shop"


@on_sqlite
async def test_an_event_goes_with_the_callers_synchronous_session(database: Database) -> None:
    """With SQLAlchemy's own engine and an ORM session, without an event loop."""
    engine = create_engine(f"sqlite:///{database.name}")
    with Session(engine) as session, session.begin():
        session.execute(select(1))
        id = EventOutbox("shop").add(session, Shipped(number=3), topic="orders", key=None)
    engine.dispose()
    (row,) = await Outbox().claim(database, 0, 10)
    assert (row.id, row.key, row.aggregateid) == (id, None, id)


@on_sqlite
async def test_outside_of_a_transaction_it_is_refused(database: Database) -> None:
    """With words that say how to begin one."""
    engine = create_engine(f"sqlite:///{database.name}")
    with Session(engine) as session, pytest.raises(RuntimeError, match=r"Shipped.*session\.begin"):
        EventOutbox("shop").add(session, Shipped(number=1), topic="orders", key=None)
    engine.dispose()


def test_outside_of_an_asynchronous_transaction_it_is_refused_too() -> None:
    """At the call, also when nobody awaits it."""
    with pytest.raises(RuntimeError, match=r"Shipped.*session\.begin"):
        EventOutbox("shop").add(AsyncSession(), Shipped(number=1), topic="orders", key=None)


@on_sqlite
async def test_in_autocommit_a_connection_is_outside_of_a_transaction(database: Database) -> None:
    """SQLAlchemy speaks of a transaction there, but each statement is committed alone; nothing is left behind."""
    engine = create_engine(f"sqlite:///{database.name}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection, Session(engine) as session:
        both: tuple[Connection | Session, ...] = (connection, session)
        for one in both:
            one.execute(select(1))
            assert one.in_transaction()
            with pytest.raises(RuntimeError, match="not in autocommit"):
                EventOutbox("shop").add(one, Shipped(number=1), topic="orders", key=None)
    engine.dispose()
    assert await rows_in(database) == 0


@on_sqlite
async def test_whoever_says_begin_to_sqlite_is_inside_of_a_transaction(database: Database) -> None:
    """SQLAlchemy's recipe for transactions that begin at once: to the driver it looks like autocommit."""
    engine = create_engine(f"sqlite:///{database.name}", connect_args={"isolation_level": None})

    def say_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    listen(engine, "begin", say_begin)
    with Session(engine) as session, session.begin():
        EventOutbox("shop").add(session, Shipped(number=1), topic="orders", key=None)
        session.rollback()
    assert await rows_in(database) == 0
    with Session(engine) as session, session.begin():
        EventOutbox("shop").add(session, Shipped(number=1), topic="orders", key=None)
    engine.dispose()
    assert await rows_in(database) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_an_asynchronous_session_in_autocommit_is_refused_too(database: Database, database_url: str) -> None:
    """On PostgreSQL, with the caller's own engine; without autocommit the same engine will do."""
    url = make_url(database_url).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url)
    alone = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with AsyncSession(alone) as session, alone.connect() as connection:
        both: tuple[AsyncSession | AsyncConnection, ...] = (session, connection)
        for one in both:
            await one.execute(select(1))
            with pytest.raises(RuntimeError, match="not in autocommit"):
                await EventOutbox("shop").add(one, Shipped(number=1), topic="orders", key=None)
    assert await rows_in(database) == 0
    async with AsyncSession(engine) as session, session.begin():
        await EventOutbox("shop").add(session, Shipped(number=1), topic="orders", key=None)
    await engine.dispose()
    assert await rows_in(database) == 1


async def rows_in(database: Database) -> int:
    async with database.reading() as connection:
        return (await Outbox().status(connection)).rows


async def test_change_data_capture_finds_debezium_s_columns(database: Database) -> None:
    """Id, aggregatetype, aggregateid, type and payload route a row as the EventRouter does, without the framework."""
    async with database.transaction() as connection:
        id = await EventOutbox("shop").add(connection, Shipped(number=7), topic="orders", key="o-7")
    captured = text("SELECT id, aggregatetype, aggregateid, type, payload, headers FROM eventbus_outbox")
    async with database.reading() as connection:
        ((event_id, aggregate_type, aggregate_id, type_, payload, headers),) = (
            await connection.execute(captured)
        ).all()
    # route.topic.replacement=${routedByValue}, table.field.event.key=aggregateid, the id as header "id".
    assert (event_id, aggregate_type, aggregate_id, type_) == (id, "orders", "o-7", "Shipped")
    assert json.loads(payload) == {"number": 7}
    assert dict(json.loads(headers))["ce_id"] == id
