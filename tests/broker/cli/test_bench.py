"""`broker bench` on a broker: small, so that it measures nothing but itself."""

import json

import pytest

from broker.cli import main
from broker.cli.bench_streams import Lost, Streams
from broker.cli.cluster import Cluster
from tests.servers.broker_process import BrokerProcess

MEASURES = {
    "produce_1kb",
    "produce_100b",
    "consume_1kb",
    "round_trip_p50",
    "round_trip_p99",
    "pipelined",
    "server_cpu",
    "server_memory",
}


def bench(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["bench", *arguments, "--megabytes", "1", "--repeat", "1", "--warm-up", "0"]) == 0
    return capsys.readouterr().out


def test_every_figure_is_told_for_both_addresses(capsys: pytest.CaptureFixture[str], broker: BrokerProcess) -> None:
    """Medians and each repetition as JSON, ratios in the table; the topics are gone afterwards."""
    pid = str(broker.pid)
    both = [broker.bootstrap, "--pid", pid, "--compare", broker.bootstrap, "--compare-pid", pid]
    told = json.loads(bench(capsys, *both, "--json"))
    for server in told["servers"]:
        assert set(server["medians"]) == MEASURES
        assert len(server["repetitions"]) == 1
        assert all(value > 0 for name, value in server["medians"].items() if name != "server_cpu")
    table = bench(capsys, broker.bootstrap)
    assert "produce 1kb (MB/s)" in table
    assert "ratio" not in table
    assert "server cpu" not in table
    topics = Cluster(broker.bootstrap, {}).metadata().topics
    assert [name for name in topics if name.startswith("broker-bench")] == []


def test_a_record_that_is_doubled_or_missing_is_found(broker: BrokerProcess) -> None:
    """Written once more behind the last, and one fewer than was acknowledged."""
    cluster = Cluster(broker.bootstrap, {})
    streams = Streams(cluster, 1)
    try:
        streams.produce(1024)
        streams.verify()
        (topic,) = streams.written
        streams.written[topic] += 1
        with pytest.raises(Lost, match="were acknowledged"):
            streams.verify()
        producer = cluster.producer({})
        producer.produce(topic, bytes(1024))
        producer.flush(10)
        with pytest.raises(Lost, match="got 0"):
            streams.verify()
    finally:
        streams.delete()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--repeat", "0"], "have to be 1 at least"),
        (["--pid", "999999999"], "No such file"),
        (["--compare", "127.0.0.1:1"], "127.0.0.1:1: Connection refused"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    capsys: pytest.CaptureFixture[str], broker: BrokerProcess, arguments: list[str], said: str
) -> None:
    """Before anything is written."""
    assert main(["bench", broker.bootstrap, *arguments]) == 2
    assert said in capsys.readouterr().err
