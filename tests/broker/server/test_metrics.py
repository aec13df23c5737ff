"""What the broker tells over HTTP, read by Prometheus' own parser."""

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from prometheus_client.parser import text_string_to_metric_families

from broker.server.metrics.collector import TOPICS_MAX, bounded
from broker.server.metrics.exposition import Exposition
from broker.server.metrics.http import CONNECTIONS_MAX, HEAD_BYTES_MAX
from broker.server.metrics.topic_use import OTHERS, TopicUse
from tests.broker.server.test_connections import create, fetch_request, produce, produce_request
from tests.servers.broker_process import BrokerProcess, running_broker
from tests.servers.raw_client import RawClient

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker with a listener for metrics."""
    with running_broker(tmp_path_factory.mktemp("told") / "data", "--metrics-listen", "127.0.0.1:0") as broker:
        yield broker


def metrics_port(broker: BrokerProcess) -> int:
    """As its ready file tells."""
    ready = broker.data_dir.with_name(broker.data_dir.name + ".ready.json")
    return int(json.loads(ready.read_text())["metrics_port"])


@contextmanager
def http_connection(broker: BrokerProcess) -> Generator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(broker.host, metrics_port(broker), timeout=10)
    try:
        yield connection
    finally:
        connection.close()


def get(broker: BrokerProcess, path: str, method: str = "GET") -> tuple[int, str]:
    with http_connection(broker) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def samples(broker: BrokerProcess) -> Samples:
    """Every sample of the page, by name and labels; Prometheus' parser refuses what is no such page."""
    status, page = get(broker, "/metrics")
    assert status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def of(found: Samples, name: str, **labels: str) -> float:
    return found.get((name, tuple(sorted(labels.items()))), 0)


def test_requests_records_and_bytes_are_counted(told: BrokerProcess) -> None:
    """What a client did between two scrapes is the difference between them."""
    before = samples(told)
    with RawClient(told.host, told.port) as client:
        create(client, "counted")
        for _ in range(3):
            produce(client, "counted", b"x" * 100, b"y")
        client.send(fetch_request("counted", 0), 12)
        client.receive_frame()
        client.send(produce_request("absent", b"x"), 9)
        client.receive_frame()
    after = samples(told)

    def grown(name: str, **labels: str) -> float:
        return of(after, name, **labels) - of(before, name, **labels)

    assert grown("broker_request_seconds_count", api="produce") == 4
    assert grown("broker_request_seconds_bucket", api="produce", le="+Inf") == 4
    assert 0 < grown("broker_request_seconds_sum", api="produce") < 4
    assert grown("broker_errors_total", api="produce", error="UNKNOWN_TOPIC_OR_PARTITION") == 1
    assert grown("broker_topic_appended_records_total", topic="counted") == 6
    size = grown("broker_topic_appended_bytes_total", topic="counted")
    assert size == of(after, "broker_topic_log_bytes", topic="counted") > 300
    assert grown("broker_topic_fetched_bytes_total", topic="counted") == size
    assert grown("broker_received_bytes_total") > size
    assert grown("broker_sent_bytes_total") > size
    assert grown("broker_connections_accepted_total") == 1
    assert of(after, "broker_topic_offsets", topic="counted") == 6
    assert of(after, "broker_topic_segments", topic="counted") == 1


def test_a_frame_that_is_no_request_is_counted_as_failed(told: BrokerProcess) -> None:
    """It has no API to be counted under."""
    before = samples(told)
    with RawClient(told.host, told.port) as client:
        client.send_frame(b"\x7f\xff" + bytes(20))
        assert client.is_closed()
    grown = of(samples(told), "broker_requests_failed_total", api="unknown") - of(
        before, "broker_requests_failed_total", api="unknown"
    )
    assert grown == 1


def test_groups_and_transactions_are_told_by_state(told: BrokerProcess) -> None:
    """A consumer that reads, a transaction that is open, one that was committed and one that was aborted."""
    ended = {outcome: of(samples(told), "broker_transactions_ended_total", outcome=outcome) for outcome in OUTCOMES}
    with RawClient(told.host, told.port) as client:
        create(client, "grouped")
    producer = Producer({"bootstrap.servers": told.bootstrap, "transactional.id": "metered"})
    producer.init_transactions(10)
    for commits in (True, False):
        producer.begin_transaction()
        producer.produce("grouped", b"x")
        producer.flush(10)
        producer.commit_transaction(10) if commits else producer.abort_transaction(10)
    producer.begin_transaction()
    producer.produce("grouped", b"x")
    producer.flush(10)
    consumer = Consumer({"bootstrap.servers": told.bootstrap, "group.id": "metered", "auto.offset.reset": "earliest"})
    consumer.subscribe(["grouped"])
    try:
        assert consumer.poll(20) is not None
        found = samples(told)
    finally:
        consumer.close()
    assert of(found, "broker_groups", type="classic", state="Stable") == 1
    assert of(found, "broker_group_members") == 1
    assert of(found, "broker_group_generations") >= 1
    assert of(found, "broker_transactional_ids", state="Ongoing") == 1
    for outcome in OUTCOMES:
        assert of(found, "broker_transactions_ended_total", outcome=outcome) == ended[outcome] + 1
    producer.abort_transaction(10)
    assert of(samples(told), "broker_groups", type="classic", state="Empty") == 1


OUTCOMES = ("committed", "aborted")


def test_the_process_the_disk_and_the_loop_are_told(told: BrokerProcess) -> None:
    """Names and units as Prometheus' own clients have them."""
    time.sleep(0.3)
    found = samples(told)
    assert 0 < of(found, "process_cpu_seconds_total") < 100
    assert 10e6 < of(found, "process_resident_memory_bytes") < 500e6
    assert 5 < of(found, "process_open_fds") < of(found, "process_max_fds")
    assert 0 < of(found, "broker_disk_free_bytes") < of(found, "broker_disk_size_bytes")
    assert of(found, "broker_loop_lag_seconds_count") >= 1
    assert of(found, "broker_offline_partitions") == 0


def test_health_and_readiness_are_beside_the_metrics(told: BrokerProcess) -> None:
    """Any other page is named as not there, any other method as not served."""
    assert get(told, "/healthz") == (200, "ok\n")
    assert get(told, "/readyz") == (200, "ready\n")
    assert get(told, "/readyz", "HEAD") == (200, "")
    assert get(told, "/")[0] == 404
    assert get(told, "/metrics", "POST")[0] == 405


def test_readiness_ends_with_the_stop(tmp_path: Path) -> None:
    """503 from the signal on, while what was asked is still being answered."""
    with running_broker(tmp_path / "data", "--metrics-listen", "127.0.0.1:0") as broker:
        with RawClient(broker.host, broker.port, receive_buffer=4096) as slow:
            create(slow, "large")
            for _ in range(20):
                produce(slow, "large", b"x" * 900_000)
            slow.send(fetch_request("large", 0), 12)
            time.sleep(0.2)
            os.kill(broker.pid, signal.SIGTERM)
            time.sleep(0.3)
            assert get(broker, "/readyz") == (503, "stopping\n")
            assert get(broker, "/healthz") == (200, "ok\n")
        assert broker.wait() == 0


def test_a_request_that_is_too_large_or_none_is_refused(told: BrokerProcess) -> None:
    """431 and 400, and the next one is served."""
    for sent, status in (
        (b"GET /" + b"x" * HEAD_BYTES_MAX + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"hello\r\n\r\n", b"400"),
        (b"\xff\xfe\r\n\r\n", b"400"),
    ):
        with socket.create_connection((told.host, metrics_port(told)), timeout=10) as connection:
            connection.sendall(sent)
            assert connection.recv(100).startswith(b"HTTP/1.1 " + status)
    assert get(told, "/healthz")[0] == 200


def test_those_who_connect_and_say_nothing_do_not_keep_out_others_for_long(told: BrokerProcess) -> None:
    """Above the limit a connection is closed at once; a silent one is closed after its time."""
    silent = [socket.create_connection((told.host, metrics_port(told)), timeout=10) for _ in range(CONNECTIONS_MAX)]
    try:
        with socket.create_connection((told.host, metrics_port(told)), timeout=3) as one_more:
            assert one_more.recv(1) == b""
        assert silent[0].recv(1) == b""
        assert get(told, "/healthz")[0] == 200
    finally:
        for each in silent:
            each.close()


def test_a_label_says_what_it_was_given() -> None:
    """Quotes, backslashes and line feeds come back from Prometheus' parser as they were."""
    page = Exposition()
    page.gauge("a", "What it is.")
    name = 'a "quoted" \\ name\nin two lines'
    page.sample("a", {"topic": name}, 1)
    (family,) = text_string_to_metric_families(page.text())
    assert family.samples[0].labels == {"topic": name}


def test_topics_beyond_the_limit_are_summed_up_under_one_label() -> None:
    """The largest keep their names."""
    uses = [TopicUse(f"t{number}", partitions=1, log_bytes=number) for number in range(TOPICS_MAX + 3)]
    kept = bounded(uses)
    assert len(kept) == TOPICS_MAX + 1
    assert kept[0].topic == f"t{TOPICS_MAX + 2}"
    assert kept[-1] == TopicUse(OTHERS, partitions=3, log_bytes=0 + 1 + 2)
