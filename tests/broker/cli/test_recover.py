"""`broker recover`: what a start would do, done or only told."""

import json
from pathlib import Path
from typing import cast

import pytest

from broker.cli import main
from tests.broker.server.test_connections import create, produce
from tests.servers.broker_process import BrokerProcess, running_broker
from tests.servers.raw_client import RawClient

Told = dict[str, object]


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """The data directory of a broker that was killed, with half a batch at the end of one of its two logs."""
    data = tmp_path / "data"
    with running_broker(data, "--set", "log.segment.bytes=1048576") as broker:
        with RawClient(broker.host, broker.port) as client:
            for topic in ("torn", "whole"):
                create(client, topic)
                for _ in range(20):
                    produce(client, topic, b"x" * 200_000)
        broker.kill()
    last = max((data / "torn-0").glob("*.log"))
    last.write_bytes(last.read_bytes()[:-10])
    return data


def recover(capsys: pytest.CaptureFixture[str], code: int, *arguments: str | Path) -> Told:
    capsys.readouterr()
    assert main(["recover", *map(str, arguments), "--json"]) == code
    told: Told = json.loads(capsys.readouterr().out)
    return told


def partition(told: Told, name: str) -> Told:
    (found,) = [each for each in cast("list[Told]", told["partitions"]) if each["partition"] == name]
    return found


def contents(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def test_a_check_tells_what_recovery_would_do_and_changes_nothing(
    capsys: pytest.CaptureFixture[str], crashed: Path
) -> None:
    """The bytes it would cut, by partition; every file stays as it was."""
    before = contents(crashed)
    told = recover(capsys, 1, "--check", crashed)
    assert contents(crashed) == before
    assert told["was_clean"] is False
    assert partition(told, "torn-0")["end"] == 19
    assert int(str(partition(told, "torn-0")["bytes_cut"])) > 200
    assert (partition(told, "whole-0")["end"], partition(told, "whole-0")["bytes_cut"]) == (20, 0)
    assert main(["recover", "--check", str(crashed)]) == 1
    assert "nothing was changed" in capsys.readouterr().out


def test_recovery_does_what_the_check_told_and_leaves_the_directory_clean(
    capsys: pytest.CaptureFixture[str], crashed: Path
) -> None:
    """The second time there is nothing to do, and a broker starts on it with what was left."""
    checked = recover(capsys, 1, "--check", crashed)
    done = recover(capsys, 1, crashed)
    assert done["partitions"] == checked["partitions"]
    again = recover(capsys, 0, "--check", crashed)
    assert again["was_clean"] is True
    assert partition(again, "torn-0")["bytes_read"] == 0
    with running_broker(crashed) as broker, RawClient(broker.host, broker.port) as client:
        assert produce(client, "torn", b"next") == 19


def test_a_directory_in_use_is_refused_naming_its_broker(
    capsys: pytest.CaptureFixture[str], broker: BrokerProcess
) -> None:
    """With and without --check."""
    for options in (["--check"], []):
        assert main(["recover", *options, str(broker.data_dir)]) == 2
        assert str(broker.pid) in capsys.readouterr().err


def test_what_is_no_data_directory_is_refused_and_left_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nothing is made there."""
    assert main(["recover", str(tmp_path)]) == 2
    assert "is no data directory" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_partition_that_cannot_be_opened_is_named(capsys: pytest.CaptureFixture[str], crashed: Path) -> None:
    """The others are recovered."""
    (first, *_) = sorted((crashed / "whole-0").glob("*.log"))
    first.unlink()
    first.mkdir()
    told = recover(capsys, 1, "--check", crashed)
    assert partition(told, "whole-0")["offline"] is not None
    assert partition(told, "torn-0")["end"] == 19
