"""
Whether a broker stays the same when there is much of everything: 1,000 partitions, 500 idle connections, 100 busy ones.

python -m benchmarks.broker_scale [--seconds 3]

Tells, step by step, resident memory, CPU, and the time of a one-record produce with acks=1; and the start with and
without 1,000 partitions after a clean stop and after a kill.
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from broker.records import NewRecord, build_batch
from broker.wire.messages.metadata import MetadataRequest, MetadataResponse
from broker.wire.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from broker.wire.messages.topics import CreatableTopic, CreateTopicsRequest, CreateTopicsResponse
from tests.servers.broker_process import BrokerProcess, running_broker
from tests.servers.raw_client import RawClient

PARTITIONS, IDLE, BUSY, BUSY_A_SECOND = 1_000, 500, 100, 20


def create(broker: BrokerProcess, topic: str, partitions: int) -> None:
    wanted = CreatableTopic(name=topic, num_partitions=partitions, replication_factor=1)
    with RawClient(broker.host, broker.port, timeout=60) as client:
        answer = client.ask(CreateTopicsRequest(topics=[wanted]), CreateTopicsResponse, 7)
    assert answer.topics[0].error_code == 0, answer.topics[0].error_message


def produce(client: RawClient, topic: str, partition: int) -> None:
    records = memoryview(build_batch([NewRecord(None, b"x" * 100)], timestamp=time.time_ns() // 1_000_000))
    data = TopicProduceData(name=topic, partition_data=[PartitionProduceData(index=partition, records=records)])
    answer = client.ask(ProduceRequest(acks=1, timeout_ms=5_000, topic_data=[data]), ProduceResponse, 9)
    assert answer.responses[0].partition_responses[0].error_code == 0


def process(pid: int) -> tuple[float, float]:
    """Resident memory in MiB, CPU seconds so far."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    ticks = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return resident / 1024, (int(ticks[11]) + int(ticks[12])) / 100


def measure(what: str, broker: BrokerProcess, seconds: float) -> None:
    """One line: round trips one after another on a connection of its own."""
    times: list[float] = []
    _, before = process(broker.pid)
    with RawClient(broker.host, broker.port) as client:
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            produce(client, "one", 0)
            times.append((time.perf_counter() - began) * 1e6)
    resident, after = process(broker.pid)
    p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
    print(
        f"{what:<32} rss {resident:6.1f} MiB  cpu {after - before:5.2f} s  "
        f"round trip p50 {p50:6.0f} us  p99 {p99:6.0f} us"
    )


def busy(broker: BrokerProcess, stop: threading.Event) -> None:
    """A hundred connections take turns, each with a produce twenty times a second at most."""
    clients = [RawClient(broker.host, broker.port) for _ in range(BUSY)]
    number = 0
    while not stop.is_set():
        began = time.monotonic()
        for client in clients:
            number += 1
            produce(client, "many", number % PARTITIONS)
        stop.wait(max(0.0, 1 / BUSY_A_SECOND - (time.monotonic() - began)))
    for client in clients:
        client.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.broker_scale")
    parser.add_argument("--seconds", type=float, default=3)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as directory, running_broker(Path(directory) / "data") as broker:
        print(f"ready, empty                     {broker.ready_seconds:.3f} s")
        create(broker, "one", 1)
        measure("empty", broker, seconds)
        began = time.monotonic()
        create(broker, "many", PARTITIONS)
        print(f"{PARTITIONS} partitions made in {time.monotonic() - began:.2f} s")
        measure(f"{PARTITIONS} partitions", broker, seconds)
        idle = [RawClient(broker.host, broker.port) for _ in range(IDLE)]
        for client in idle:
            client.ask(MetadataRequest(topics=[]), MetadataResponse, 12)
        measure(f"and {IDLE} idle connections", broker, seconds)
        stop = threading.Event()
        load = threading.Thread(target=busy, args=(broker, stop))
        load.start()
        time.sleep(0.5)
        measure(f"and {BUSY} busy connections", broker, seconds)
        stop.set()
        load.join()
        for client in idle:
            client.close()
        measure("all of them gone", broker, seconds)
        for end in (broker.stop, broker.kill):
            end()
            broker.start()
            cpu = process(broker.pid)[1]
            print(f"ready, {PARTITIONS} partitions, {end.__name__:<15} {broker.ready_seconds:.3f} s  cpu {cpu:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
