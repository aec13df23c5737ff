"""
Data directories as a version of the broker has left them, kept as JSON: path -> content in base64.

    python -m tests.broker.handlers.written_directory written/format_1_clean.json clean
    python -m tests.broker.handlers.written_directory written/format_1_killed.json killed

Make new ones, under a new name, when broker.format rises; the old ones stay, and are opened by every later version.
"""

import base64
import json
import sys
import tempfile
from pathlib import Path

from broker.errors import ErrorCode
from tests.broker.handlers.conftest import InProcessBroker, batch
from tests.broker.handlers.test_disk_full import commit
from tests.broker.handlers.test_produce_and_fetch import produce
from tests.broker.transactions.reader import TransactionalProducer

WRITTEN = Path(__file__).parent / "written"


def unpack(name: str, directory: Path) -> None:
    """Writes the files of *name* below *directory*."""
    for path, content in json.loads((WRITTEN / name).read_text()).items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(base64.b64decode(content))


def write(directory: Path, *, clean: bool) -> None:
    """Something of all: sealed segments, epochs, producers, transactions, offsets, compaction, deleted records."""
    broker = InProcessBroker(directory)
    broker.close(clean=False)
    broker = InProcessBroker(directory)
    catalog = broker.state.catalog
    topic = catalog.create("orders", 2, {"retention.ms": "-1"})
    catalog.create("gone", 1, {})
    catalog.create("t", 1, {})
    for number in range(6):
        assert produce(broker, "orders", batch(b"order-%d" % number)).base_offset == number
        if number == 2:
            topic.partitions[0].log.roll()
    topic.partitions[0].log.delete_records(1)
    fields = {"producer_id": 7777, "producer_epoch": 0, "base_sequence": 0}
    assert produce(broker, "orders", batch(b"idempotent", **fields), partition=1).base_offset == 0
    client = TransactionalProducer(broker, "tx", v2=False)
    assert client.init() is ErrorCode.NONE
    for value, committed in ((b"committed", True), (b"aborted", False)):
        assert client.produce("orders", 1, value) is ErrorCode.NONE
        assert client.end(committed=committed) is ErrorCode.NONE
    assert commit(broker, 4) == ErrorCode.NONE
    table = (
        catalog.create("table", 1, {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0"}).partitions[0].log
    )
    for number in range(3):
        assert produce(broker, "table", batch(b"value-%d" % number)).base_offset == number
        table.roll()
    table.flush()
    compaction = table.compaction_begin(map_bytes_max=1 << 20)
    assert compaction is not None
    compaction.run()
    while table.compaction_advance(compaction):
        compaction.run()
    gone = catalog.find("gone")
    assert gone is not None
    catalog.delete(gone)
    catalog.replace_configs(topic, {"retention.ms": "5"})
    catalog.write_checkpoints()
    if clean:
        broker.close()
    else:
        catalog.close(clean=False)
        broker.directory.close(clean=False)


def main(name: str, how: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        write(root, clean=how == "clean")
        files = {
            str(path.relative_to(root)): base64.b64encode(path.read_bytes()).decode()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }
        target = Path(__file__).parent / name
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(files, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
