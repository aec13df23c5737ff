"""`broker inspect` on files that a broker has written, sound and damaged."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import pytest
from confluent_kafka import Producer

from broker.cli import main
from broker.records import NewRecord, build_batch
from tests.broker.server.test_connections import create, produce
from tests.servers.broker_process import running_broker
from tests.servers.raw_client import RawClient

Rows = list[Mapping[str, object]]
FIRST = "00000000000000000000"


@pytest.fixture(scope="module")
def partition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A partition that was closed cleanly: plain, compressed and transactional batches, an abort and a commit."""
    data = tmp_path_factory.mktemp("inspected") / "data"
    with running_broker(data, "--set", "log.index.interval.bytes=100") as broker:
        with RawClient(broker.host, broker.port) as client:
            create(client, "seen")
            produce(client, "seen", b"plain", b"two")
        compressed = Producer({"bootstrap.servers": broker.bootstrap, "compression.type": "gzip", "linger.ms": 50})
        compressed.produce("seen", b"z" * 500, key=b"k", headers=[("h", b"v")], partition=0)
        compressed.flush(10)
        producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": "t"})
        producer.init_transactions(10)
        for end in (producer.abort_transaction, producer.commit_transaction):
            producer.begin_transaction()
            producer.produce("seen", b"x" * 200, partition=0)
            producer.flush(10)
            end(10)
        assert broker.stop() == 0
    return data / "seen-0"


def rows(capsys: pytest.CaptureFixture[str], code: int, *arguments: str | Path) -> Rows:
    """JSON lines, or the one document that is a list."""
    capsys.readouterr()
    assert main(["inspect", *map(str, arguments), "--json"]) == code
    documents: list[object] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return cast("Rows", documents[0] if isinstance(documents[0], list) else documents)


def test_a_segment_is_shown_batch_by_batch(capsys: pytest.CaptureFixture[str], partition: Path) -> None:
    """Offsets, codec, producer, flags, and that each CRC is right."""
    batches = rows(capsys, 0, "segment", partition / f"{FIRST}.log")
    assert [(each["first_offset"], each["last_offset"]) for each in batches] == [
        (0, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6),
    ]  # fmt: skip
    assert [each["codec"] for each in batches] == ["none", "gzip", "none", "none", "none", "none"]
    assert [each["flags"] for each in batches[2:]] == [["transactional"], ["transactional", "control"]] * 2
    assert {each["crc"] for each in batches} == {"right"}
    assert batches[0]["position"] == 0
    assert batches[1]["position"] == batches[0]["bytes"]


def test_records_are_opened_on_request(capsys: pytest.CaptureFixture[str], partition: Path) -> None:
    """Compressed ones and markers, too; as a table they are lines under their batch."""
    batches = rows(capsys, 0, "segment", partition / f"{FIRST}.log", "--records")
    contents = [record for batch in batches for record in list_of(batch["contents"])]
    assert [record["value"] for record in contents[:2]] == ["plain", "two"]
    assert (contents[2]["key"], contents[2]["headers"]) == ("k", [["h", "v"]])
    assert [str(record["value"])[:6] for record in contents if record["key"] == "marker"] == ["ABORT ", "COMMIT"]
    assert main(["inspect", "segment", str(partition / f"{FIRST}.log"), "--records"]) == 0
    told = capsys.readouterr().out
    assert "plain" in told
    assert "6 batches, 7 records" in told


def list_of(value: object) -> Rows:
    assert isinstance(value, list)
    return cast("Rows", value)


def torn(content: bytes) -> bytes:
    return content[:-7]


def garbled(content: bytes) -> bytes:
    return content[:-7] + b"!" + content[-6:]


def followed_by_zeros(content: bytes) -> bytes:
    return content + bytes(100)


def followed_by_a_few_bytes(content: bytes) -> bytes:
    return content + b"abc"


def of_an_unreadable_codec(_content: bytes) -> bytes:
    batch = build_batch([NewRecord(b"k", b"v")], timestamp=0)
    batch[22] |= 7
    return bytes(batch)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (torn, "a torn write"),
        (garbled, "the CRC does not match"),
        (followed_by_zeros, "announces a batch of 12 bytes"),
        (followed_by_a_few_bytes, "3 bytes are left"),
        (of_an_unreadable_codec, "CRC"),
    ],
)
def test_a_damaged_segment_is_shown_up_to_its_damage(
    capsys: pytest.CaptureFixture[str], partition: Path, tmp_path: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    """With words and exit code 1, with and without the records."""
    path = tmp_path / f"{FIRST}.log"
    path.write_bytes(damage((partition / f"{FIRST}.log").read_bytes()))
    for options in ([], ["--records"]):
        assert main(["inspect", "segment", str(path), *options]) == 1
        told = capsys.readouterr().out
        assert "damaged at byte" in told
        assert said in told
        assert rows(capsys, 1, "segment", path, *options)


@pytest.mark.parametrize("kind", ["index", "timeindex", "txnindex"])
def test_every_entry_of_an_index_is_checked_against_the_segment(
    capsys: pytest.CaptureFixture[str], partition: Path, tmp_path: Path, kind: str
) -> None:
    """A sound one is right in all entries; one with another number in it, or a cut one, is not."""
    entries = rows(capsys, 0, "index", partition / f"{FIRST}.{kind}")
    assert entries
    assert {each["check"] for each in entries} == {"right"}
    for name in (f"{FIRST}.log", f"{FIRST}.{kind}"):
        (tmp_path / name).write_bytes((partition / name).read_bytes())
    content = bytearray((partition / f"{FIRST}.{kind}").read_bytes())
    content[-1] ^= 0x55
    content[2] ^= 0x55
    (tmp_path / f"{FIRST}.{kind}").write_bytes(content)
    damaged = rows(capsys, 1, "index", tmp_path / f"{FIRST}.{kind}")
    assert {each["check"] for each in damaged} != {"right"}
    (tmp_path / f"{FIRST}.{kind}").write_bytes(content[:-3])
    assert main(["inspect", "index", str(tmp_path / f"{FIRST}.{kind}")]) == 1
    assert "an entry takes" in capsys.readouterr().out


def test_an_index_beside_a_damaged_segment_says_so(
    capsys: pytest.CaptureFixture[str], partition: Path, tmp_path: Path
) -> None:
    """What lies behind the damage cannot be checked."""
    (tmp_path / f"{FIRST}.log").write_bytes((partition / f"{FIRST}.log").read_bytes()[:300])
    (tmp_path / f"{FIRST}.index").write_bytes((partition / f"{FIRST}.index").read_bytes())
    assert main(["inspect", "index", str(tmp_path / f"{FIRST}.index")]) == 1
    told = capsys.readouterr().out
    assert "no batch starts there" in told
    assert f"{FIRST}.log is damaged at byte" in told


def test_producers_of_a_snapshot_are_shown(capsys: pytest.CaptureFixture[str], partition: Path, tmp_path: Path) -> None:
    """A damaged one is named as that, with what a broker does about it."""
    (snapshot,) = partition.glob("*.snapshot")
    (producer,) = rows(capsys, 0, "producers", snapshot)
    assert producer["last_sequence"] is not None
    assert producer["transaction_since"] is None
    damaged = tmp_path / snapshot.name
    damaged.write_bytes(snapshot.read_bytes()[:-1] + b"\0\0")
    assert main(["inspect", "producers", str(damaged)]) == 1
    assert "is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("segment", "/nowhere/0.log"), "No such file"),
        (("segment", "/etc/hostname"), "ends with .log"),
        (("index", "/etc/hostname"), "ends with .index or .timeindex or .txnindex"),
        (("index", "/nowhere/00000000000000000000.index"), "No such file"),
        (("producers", "/etc/hostname"), "ends with .snapshot"),
    ],
)
def test_another_file_is_refused(capsys: pytest.CaptureFixture[str], arguments: tuple[str, str], said: str) -> None:
    """The bytes of one kind read as another mean nothing."""
    assert main(["inspect", *arguments]) == 2
    assert said in capsys.readouterr().err
