"""Transactions v2 with the Java client, and what Kafka's own tools say of them."""

import re
import uuid
from pathlib import Path

import pytest

from tests.interop.toolchain import java_program, java_tool, run
from tests.servers.broker_process import BrokerProcess, running_broker

pytestmark = pytest.mark.interop
ROUNDS = 12


def test_the_java_client_commits_aborts_moves_offsets_and_is_fenced(tmp_path: Path) -> None:
    """With transactions v2, whose every end raises the epoch; Kafka's tools read what is left on the disk."""
    with running_broker(tmp_path / "data", "--set", "num.partitions=2") as broker:
        topic = f"java-{uuid.uuid4().hex[:8]}"
        said = run([*java_program("Transactions"), broker.bootstrap, topic, str(ROUNDS)]).splitlines()
        committed = [number for number in range(ROUNDS) if number % 3 != 2]
        expected = [f"read {number}-{partition}" for number in committed for partition in (0, 1)]
        assert sorted(line for line in said if line.startswith("read ")) == sorted([*expected, "read successor"])
        assert f"offset {committed[-1]}" in said
        assert any(re.fullmatch(r"fenced (ProducerFenced|InvalidProducerEpoch)Exception", line) for line in said), said
        described = transactions_tool(broker, "describe", "--transactional-id", topic)
        assert "CompleteCommit" in described
        # An epoch for each end: nobody but transactions v2 gets that far.
        assert int(re.findall(r"\s(\d+)\s+CompleteCommit", described)[0]) > ROUNDS
        assert topic in transactions_tool(broker, "list")
        producers = transactions_tool(broker, "describe-producers", "--topic", topic, "--partition", "0")
        assert "None" in producers
        assert "CompleteCommit" in transactions_tool(broker, "list", "--transactional-id-pattern", "java-.*")
        assert broker.stop() == 0
        partition = tmp_path / "data" / f"{topic}-0"
        aborted = dump(partition / "00000000000000000000.txnindex")
        assert len(re.findall("producerId", aborted)) == ROUNDS // 3 + 1
        log = dump(partition / "00000000000000000000.log", "--print-data-log")
        assert log.count("endTxnMarker: ABORT") == ROUNDS // 3 + 1
        state = dump(
            tmp_path / "data" / "__transaction_state-0" / "00000000000000000000.log", "--transaction-log-decoder"
        )
        assert topic in state


def transactions_tool(broker: BrokerProcess, *arguments: str) -> str:
    return java_tool("org.apache.kafka.tools.TransactionsCommand", "--bootstrap-server", broker.bootstrap, *arguments)


def dump(file: Path, *options: str) -> str:
    return java_tool("org.apache.kafka.tools.DumpLogSegments", "--files", str(file), *options)
