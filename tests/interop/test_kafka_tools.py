"""Apache Kafka's own command-line tools, from Maven's jars, against `broker serve`."""

import uuid

import pytest

from tests.interop.toolchain import java_tool
from tests.servers.broker_process import BrokerProcess

pytestmark = pytest.mark.interop
COUNT = 500


def test_topics_are_created_listed_described_widened_and_deleted(broker: BrokerProcess) -> None:
    """kafka-topics: create, list, alter, describe, delete."""
    topic = f"java-{uuid.uuid4().hex[:8]}"
    command = ("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", broker.bootstrap)
    java_tool(*command, "--create", "--topic", topic, "--partitions", "3", "--config", "retention.ms=-1")
    assert topic in java_tool(*command, "--list").splitlines()
    java_tool(*command, "--alter", "--topic", topic, "--partitions", "5")
    summary, *partitions = java_tool(*command, "--describe", "--topic", topic).splitlines()
    assert "PartitionCount: 5" in summary
    assert "retention.ms=-1" in summary
    assert [line.split()[2:10] for line in partitions] == [
        ["Partition:", str(number), "Leader:", "1", "Replicas:", "1", "Isr:", "1"] for number in range(5)
    ]
    java_tool(*command, "--delete", "--topic", topic)
    assert topic not in java_tool(*command, "--list").splitlines()


@pytest.mark.parametrize("codec", ["none", "gzip", "zstd"])
def test_the_console_producer_and_consumer_exchange_lines(broker: BrokerProcess, codec: str) -> None:
    """kafka-console-producer (idempotent, acks=all) and kafka-console-consumer in a group."""
    topic = f"java-console-{codec}-{uuid.uuid4().hex[:8]}"
    lines = [f"line {number}" for number in range(COUNT)]
    server = ("--bootstrap-server", broker.bootstrap, "--topic", topic)
    java_tool(
        "org.apache.kafka.tools.ConsoleProducer", *server, "--compression-codec", codec, feed="\n".join(lines).encode()
    )
    read = java_tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        *(*server, "--from-beginning", "--max-messages", str(COUNT), "--timeout-ms", "30000", "--group", topic),
    )
    assert sorted(read.splitlines()) == sorted(lines)


def test_the_verifiable_producer_is_acknowledged_for_every_record(broker: BrokerProcess) -> None:
    """kafka-verifiable-producer with acks=all."""
    topic = f"java-verifiable-{uuid.uuid4().hex[:8]}"
    printed = java_tool(
        "org.apache.kafka.tools.VerifiableProducer",
        *("--bootstrap-server", broker.bootstrap, "--topic", topic, "--max-messages", str(COUNT), "--acks", "-1"),
    )
    assert sum('"name":"producer_send_success"' in line for line in printed.splitlines()) == COUNT


def test_dump_log_segments_reads_our_files(broker: BrokerProcess) -> None:
    """kafka-dump-log finds every record of a segment that `broker` wrote, and nothing wrong in its indexes."""
    topic = f"java-dump-{uuid.uuid4().hex[:8]}"
    java_tool(
        "org.apache.kafka.tools.ConsoleProducer",
        *("--bootstrap-server", broker.bootstrap, "--topic", topic, "--command-property", "acks=all"),
        feed="\n".join(f"line {number}" for number in range(COUNT)).encode(),
    )
    segments = sorted(broker.data_dir.glob(f"{topic}-*/*.log"))
    assert segments
    printed = java_tool(
        "org.apache.kafka.tools.DumpLogSegments", "--print-data-log", "--files", ",".join(map(str, segments))
    )
    assert sum("payload: line " in line for line in printed.splitlines()) == COUNT
    assert "Mismatches" not in printed


def test_features_and_the_cluster_are_described_and_nothing_is_elected(broker: BrokerProcess) -> None:
    """kafka-features, kafka-cluster and kafka-leader-election say what a cluster of one has to say."""
    server, topic = ("--bootstrap-server", broker.bootstrap), f"java-elected-{uuid.uuid4().hex[:8]}"
    described = java_tool("org.apache.kafka.tools.FeatureCommand", *server, "describe")
    finalized = {row[1]: row[row.index("FinalizedVersionLevel:") + 1] for row in map(str.split, described.splitlines())}
    assert finalized == {"group.version": "1", "transaction.version": "2"}
    assert "Cluster ID: " in java_tool("org.apache.kafka.tools.ClusterTool", "cluster-id", *server)
    java_tool("org.apache.kafka.tools.TopicCommand", *server, "--create", "--topic", topic)
    elected = java_tool(
        "org.apache.kafka.tools.LeaderElectionCommand",
        *(*server, "--election-type", "preferred", "--topic", topic, "--partition", "0"),
    )
    assert f"Valid replica already elected for partitions {topic}-0" in elected
