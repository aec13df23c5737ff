"""Apache Kafka's tools for who is on call, against `broker serve`: what they change is there, what they show is so."""

import json
import re
import uuid
from pathlib import Path

import pytest

from tests.interop.toolchain import java_tool
from tests.servers.broker_process import BrokerProcess

pytestmark = pytest.mark.interop

GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
CONFIGS = "kafka.admin.ConfigCommand"
COUNT = 200


@pytest.fixture
def topic(broker: BrokerProcess) -> str:
    """A topic with one partition and COUNT records."""
    name = f"java-admin-{uuid.uuid4().hex[:8]}"
    server = ("--bootstrap-server", broker.bootstrap)
    java_tool("org.apache.kafka.tools.TopicCommand", *server, "--create", "--topic", name)
    lines = "\n".join(f"line {number}" for number in range(COUNT)).encode()
    java_tool("org.apache.kafka.tools.ConsoleProducer", *server, "--topic", name, feed=lines)
    return name


def _rows(printed: str) -> list[list[str]]:
    return [line.split() for line in printed.splitlines() if line.strip()]


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_groups_are_listed_described_reset_and_deleted(broker: BrokerProcess, topic: str, protocol: str) -> None:
    """kafka-consumer-groups, after a console consumer of either protocol has committed."""
    server, group = ("--bootstrap-server", broker.bootstrap), f"{topic}-{protocol}"
    read = java_tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        *(*server, "--topic", topic, "--group", group, "--from-beginning", "--max-messages", str(COUNT)),
        *("--timeout-ms", "20000", "--command-property", f"group.protocol={protocol}"),
    )
    assert len(read.splitlines()) == COUNT
    assert group in java_tool(GROUPS, *server, "--list").splitlines()
    _, row = _rows(java_tool(GROUPS, *server, "--describe", "--group", group))
    assert row[:6] == [group, topic, "0", str(COUNT), str(COUNT), "0"]
    _, state = _rows(java_tool(GROUPS, *server, "--describe", "--group", group, "--state"))
    assert state[-2:] == ["Empty", "0"]
    reset = ("--reset-offsets", "--group", group, "--topic", topic, "--to-offset", "7", "--execute")
    assert _rows(java_tool(GROUPS, *server, *reset))[-1] == [group, topic, "0", "7"]
    _, row = _rows(java_tool(GROUPS, *server, "--describe", "--group", group))
    assert row[3:6] == ["7", str(COUNT), str(COUNT - 7)]
    java_tool(GROUPS, *server, "--delete", "--group", group)
    assert group not in java_tool(GROUPS, *server, "--list").splitlines()


def test_settings_of_a_topic_are_changed_and_described(broker: BrokerProcess, topic: str) -> None:
    """kafka-configs: set, described with where the value is from, taken back."""
    entity = ("--bootstrap-server", broker.bootstrap, "--entity-type", "topics", "--entity-name", topic)
    java_tool(CONFIGS, *entity, "--alter", "--add-config", "retention.ms=7777,cleanup.policy=[compact,delete]")
    printed = java_tool(CONFIGS, *entity, "--describe")
    assert re.search(r"retention\.ms=7777 .*DYNAMIC_TOPIC_CONFIG:retention\.ms=7777", printed)
    assert "cleanup.policy=compact,delete" in printed
    java_tool(CONFIGS, *entity, "--alter", "--delete-config", "retention.ms")
    assert "retention.ms=7777" not in java_tool(CONFIGS, *entity, "--describe")
    everything = java_tool(CONFIGS, *entity, "--describe", "--all")
    assert re.search(r"retention\.ms=604800000 .*DEFAULT_CONFIG", everything)


def test_records_are_deleted_and_offsets_move(broker: BrokerProcess, topic: str, tmp_path: Path) -> None:
    """kafka-delete-records, then kafka-get-offsets: the start has moved, the end has not."""
    wish = tmp_path / "wish.json"
    wish.write_text(json.dumps({"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": 30}]}))
    server = ("--bootstrap-server", broker.bootstrap)
    deleted = java_tool("org.apache.kafka.tools.DeleteRecordsCommand", *server, "--offset-json-file", str(wish))
    assert f"partition: {topic}-0\tlow_watermark: 30" in deleted
    offsets = ("org.apache.kafka.tools.GetOffsetShell", *server, "--topic", topic, "--time")
    assert java_tool(*offsets, "earliest").strip() == f"{topic}:0:30"
    assert java_tool(*offsets, "latest").strip() == f"{topic}:0:{COUNT}"


def test_log_directories_are_described(broker: BrokerProcess, topic: str) -> None:
    """kafka-log-dirs: one directory, the partition in it, as many bytes as its files have."""
    printed = java_tool(
        "org.apache.kafka.tools.LogDirsCommand",
        *("--bootstrap-server", broker.bootstrap, "--describe", "--topic-list", topic),
    )
    (directory,) = json.loads(printed.splitlines()[-1])["brokers"][0]["logDirs"]
    (partition,) = directory["partitions"]
    assert (directory["error"], directory["logDir"]) == (None, str(broker.data_dir))
    assert (partition["partition"], partition["isFuture"]) == (f"{topic}-0", False)
    assert partition["size"] == sum(path.stat().st_size for path in broker.data_dir.glob(f"{topic}-0/*.log"))


def test_transactions_are_run_and_described(broker: BrokerProcess, topic: str) -> None:
    """kafka-producer-perf-test in transactions, then kafka-transactions: the last is complete, none hangs."""
    server, identity = ("--bootstrap-server", broker.bootstrap), f"{topic}-perf"
    java_tool(
        "org.apache.kafka.tools.ProducerPerformance",
        *("--topic", topic, "--num-records", "2000", "--record-size", "300", "--throughput", "-1", *server),
        *("--transactional-id", identity, "--transaction-duration-ms", "20"),
    )
    tool = ("org.apache.kafka.tools.TransactionsCommand", *server)
    listed = [row for row in _rows(java_tool(*tool, "list")) if row[0] == identity]
    assert [row[3] for row in listed] == ["CompleteCommit"]
    _, described = _rows(java_tool(*tool, "describe", "--transactional-id", identity))
    assert described[1:5] == [identity, listed[0][2], described[3], "CompleteCommit"]
    producers = _rows(java_tool(*tool, "describe-producers", "--topic", topic, "--partition", "0"))
    (ours,) = [row for row in producers if row[0] == listed[0][2]]
    assert ours[-1] == "None"  # no transaction is open
    hanging = java_tool(*tool, "find-hanging", "--broker-id", "1", "--max-transaction-timeout", "1")
    assert len(_rows(hanging)) == 1  # the heading


def test_the_performance_tool_produces_and_consumes(broker: BrokerProcess, topic: str) -> None:
    """kafka-producer-perf-test and kafka-consumer-perf-test pass every record."""
    server = ("--bootstrap-server", broker.bootstrap)
    report = java_tool(
        "org.apache.kafka.tools.ProducerPerformance",
        *("--topic", topic, "--num-records", "5000", "--record-size", "200", "--throughput", "-1", *server),
    )
    assert report.splitlines()[-1].startswith("5000 records sent")
    consumed = java_tool(
        "org.apache.kafka.tools.ConsumerPerformance",
        *("--topic", topic, "--num-records", str(5000 + COUNT), "--timeout", "20000", *server),
    )
    columns = [column.strip() for column in consumed.splitlines()[-1].split(",")]
    assert int(columns[4]) >= 5000 + COUNT


def test_the_verifiable_consumer_reads_what_is_there(broker: BrokerProcess, topic: str) -> None:
    """kafka-verifiable-consumer: all records once, and its commits succeed."""
    printed = java_tool(
        "org.apache.kafka.tools.VerifiableConsumer",
        *("--bootstrap-server", broker.bootstrap, "--topic", topic, "--group-id", f"{topic}-verifiable"),
        *("--max-messages", str(COUNT), "--reset-policy", "earliest"),
    )
    events = [json.loads(line) for line in printed.splitlines()]
    assert sum(event["count"] for event in events if event["name"] == "records_consumed") == COUNT
    commits = [event for event in events if event["name"] == "offsets_committed"]
    assert commits
    assert all(event["success"] for event in commits)
