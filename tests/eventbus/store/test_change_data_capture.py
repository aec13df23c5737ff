"""PostgreSQL's logical decoding reads the outbox in the relay's place, in the way of Debezium's EventRouter."""

import json
import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import asyncpg
import pytest

from eventbus import Application
from eventbus.database import Migrations
from order_service import handlers, views
from order_service.messages import OrderLine, PlaceOrder
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.anyio

_READ = (
    "SELECT data FROM pg_logical_slot_get_binary_changes('router', NULL, NULL, 'proto_version', '1', "
    "'publication_names', 'outbox')"
)


@pytest.fixture
def decoded_url() -> Iterator[str]:
    """A database on a server of its own, whose log can be decoded; the plug-in is pgoutput, PostgreSQL's own."""
    directory = Path(tempfile.mkdtemp(prefix="pg"))
    server = PostgresServer(directory)
    try:
        name = server.create_database(server.template)
        server.configure(wal_level="logical")
        yield server.url(name)
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


async def test_change_data_capture_finds_topic_key_headers_and_payload_of_each_event(decoded_url: str) -> None:
    """As docs/how-to/outgrow-one-machine.md says; what is rolled back is not seen, and a deletion is no event."""
    capture = await asyncpg.connect(decoded_url)
    await capture.execute("CREATE PUBLICATION outbox FOR TABLE eventbus_outbox")
    await capture.execute("SELECT pg_create_logical_replication_slot('router', 'pgoutput')")
    app = Application("order-service", modules=[handlers, views], database_url=decoded_url, broker_url="memory:")
    await Migrations(app.database).check()
    line = OrderLine.model_validate({"sku": "apple", "quantity": 2, "price": "2.50"})
    receipt = await app.send(PlaceOrder(order_id="o-1", customer_id="c-1", lines=[line]))
    await app.database.aclose()
    rolled_back = capture.transaction()
    await rolled_back.start()
    await capture.execute("UPDATE eventbus_outbox SET id = 'never'")
    await rolled_back.rollback()
    await capture.execute("DELETE FROM eventbus_outbox")
    changes = [bytes(row["data"]) for row in await capture.fetch(_READ)]
    await capture.close()

    (row,) = inserted(changes)
    assert (row["topic"], row["aggregateid"], row["id"]) == ("orders", "o-1", receipt.event_ids[0])
    assert (row["aggregatetype"], row["type"], row["key"]) == ("Order", "OrderPlaced", "o-1")
    payload = json.loads(bytes.fromhex(str(row["payload"]).removeprefix("\\x")))
    assert payload == {"order_id": "o-1", "customer_id": "c-1", "total": "5.00"}
    headers = dict(json.loads(str(row["headers"])))
    assert (headers["ce_id"], headers["ce_type"], headers["ce_source"]) == (row["id"], "OrderPlaced", "order-service")


def inserted(changes: Sequence[bytes]) -> list[Mapping[str, str | None]]:
    """The rows that were inserted, by column, from pgoutput's messages (protocol 1): relations and inserts."""
    columns: dict[int, list[str]] = {}
    rows: list[Mapping[str, str | None]] = []
    for change in changes:
        kind, body = change[:1], change[1:]
        if kind == b"R":
            (relation,) = struct.unpack_from(">I", body)
            _namespace, _name, rest = body[4:].split(b"\x00", 2)
            (count,) = struct.unpack_from(">H", rest, 1)
            at, names = 3, list[str]()
            for _ in range(count):
                end = rest.index(b"\x00", at + 1)
                names.append(rest[at + 1 : end].decode())
                at = end + 9
            columns[relation] = names
        elif kind == b"I":
            (relation,) = struct.unpack_from(">I", body)
            (count,) = struct.unpack_from(">H", body, 5)
            at, values = 7, list[str | None]()
            for _ in range(count):
                if body[at : at + 1] == b"t":
                    (length,) = struct.unpack_from(">I", body, at + 1)
                    values.append(body[at + 5 : at + 5 + length].decode())
                    at += 5 + length
                else:
                    values.append(None)
                    at += 1
            rows.append(dict(zip(columns[relation], values, strict=True)))
    return rows
