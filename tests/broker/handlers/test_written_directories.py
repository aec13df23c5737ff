"""A data directory that an earlier version has written opens in this one, with everything in it."""

from pathlib import Path

import pytest

from broker.errors import ErrorCode
from tests.broker.handlers.conftest import InProcessBroker, batch
from tests.broker.handlers.test_disk_full import committed
from tests.broker.handlers.test_produce_and_fetch import produce
from tests.broker.handlers.written_directory import WRITTEN, unpack
from tests.broker.transactions.reader import TransactionalProducer, committed_values


@pytest.mark.parametrize("name", sorted(path.name for path in WRITTEN.glob("*.json")))
def test_what_an_earlier_version_has_written_is_all_there(tmp_path: Path, name: str) -> None:
    """Records, log starts, epochs, producers, transactions, offsets, settings; and it is written on."""
    unpack(name, tmp_path)
    broker = InProcessBroker(tmp_path)
    catalog = broker.state.catalog
    assert broker.directory.clean == ("clean" in name)
    assert sorted(topic.name for topic in catalog if not topic.is_internal) == ["orders", "t", "table"]
    orders = catalog.find("orders")
    assert orders is not None
    assert orders.overrides == {"retention.ms": "5"}
    log = orders.partitions[0].log
    assert (log.log_start_offset, log.next_offset) == (1, 6)
    assert committed_values(broker, "orders", 0, offset=1) == [b"order-%d" % number for number in range(1, 6)]
    assert committed_values(broker, "orders", 1) == [b"idempotent", b"committed"]
    assert committed_values(broker, "table", 0)[-1:] == [b"value-2"]
    assert committed(broker) == 4
    fields = {"producer_id": 7777, "producer_epoch": 0, "base_sequence": 0}
    assert produce(broker, "orders", batch(b"idempotent", **fields), partition=1).base_offset == 0
    client = TransactionalProducer(broker, "tx", v2=False)
    assert client.init() is ErrorCode.NONE
    assert client.producer_epoch > 0
    assert client.produce("orders", 1, b"more") is ErrorCode.NONE
    assert client.end(committed=True) is ErrorCode.NONE
    assert committed_values(broker, "orders", 1) == [b"idempotent", b"committed", b"more"]
    broker.close()


def test_there_is_a_directory_of_every_format(tmp_path: Path) -> None:
    """Clean and killed; the newest is what this version writes."""
    InProcessBroker(tmp_path / "new").close()
    [line] = [
        each for each in (tmp_path / "new" / "meta.properties").read_text().splitlines() if each[:13] == "broker.format"
    ]
    formats = range(1, int(line.removeprefix("broker.format=")) + 1)
    expected = {f"format_{number}_{how}.json" for number in formats for how in ("clean", "killed")}
    assert {path.name for path in WRITTEN.iterdir()} == expected
