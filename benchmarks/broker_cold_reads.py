"""
What a consumer that reads a large log from its start, cold, does to another one at the tail.

    python -m benchmarks.broker_cold_reads [--gigabytes 10] [--seconds 10] [--dir DIR]

Ready       from the start of `broker serve` on the cleanly closed log to its ready line
Tail        a producer writes a small record every 5 ms; from its produce to the moment when a consumer has it: with
            nothing else going on (idle), while another process reads the large log with nothing of it in the page cache
            (cold), and while it does so again from the page cache (warm, as far as it fits)

Everything runs on this machine, so the reader also takes the tail's processor: cold beside warm is what the disk adds.
To empty the page cache its pages are given up file by file (posix_fadvise), which needs no rights.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from broker.clock import SystemClock
from broker.records import NewRecord, build_batch
from broker.storage import DiskFileSystem, LogConfig, PartitionLog

_BATCH_BYTES = 900_000
_EVERY_S = 0.005

READER = """
import sys, time
from confluent_kafka import Consumer, TopicPartition
consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "cold", "enable.auto.commit": False,
    "fetch.message.max.bytes": 8 << 20, "queued.max.messages.kbytes": 65536, "check.crcs": False})
consumer.assign([TopicPartition("large", 0, 0)])
end, size, deadline = int(sys.argv[2]), 0, time.monotonic() + float(sys.argv[3])
begin = time.monotonic()
while time.monotonic() < deadline:
    messages = consumer.consume(64, 1.0)
    size += sum(len(message.value()) for message in messages if not message.error())
    if messages and messages[-1].offset() + 1 >= end:
        break
print(size, time.monotonic() - begin)
"""


@contextmanager
def served(data_dir: Path) -> Iterator[tuple[str, float]]:
    """A broker process on *data_dir*: its address, and seconds from start to ready."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "broker", "serve", "--data-dir", str(data_dir), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        try:
            yield address, time.perf_counter() - begin
        finally:
            process.terminate()
            process.wait()


def fill(directory: Path, size: int) -> int:
    """Writes *size* bytes of batches as the broker would, and closes cleanly; the log's end."""
    clock = SystemClock()
    log = PartitionLog.open(directory, files=DiskFileSystem(), clock=clock, config=LogConfig(), clean=True)
    batch = build_batch([NewRecord(None, os.urandom(_BATCH_BYTES))], timestamp=clock.now_ms())
    while log.size < size:
        log.append(memoryview(bytearray(batch)), leader_epoch=0)
    log.close(clean=True)
    return log.next_offset


def chill(directory: Path) -> None:
    """Gives up the page cache of every file in *directory*."""
    for path in directory.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def tail(address: str, stop: threading.Event) -> list[float]:
    """Milliseconds from produce to consume of each record until *stop*."""
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "tail",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 100,
            "log_level": 0,
        }
    )
    producer = Producer({"bootstrap.servers": address, "linger.ms": 0, "acks": 1, "log_level": 0})
    consumer.assign([TopicPartition("tail", 0, consumer.get_watermark_offsets(TopicPartition("tail", 0))[1])])
    consumer.consume(1, 0.5)
    took: list[float] = []
    done = threading.Event()

    def write() -> None:
        while not stop.is_set():
            producer.produce("tail", str(time.perf_counter()).encode())
            producer.poll(0)
            time.sleep(_EVERY_S)
        producer.flush(10)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            took.append((time.perf_counter() - float(message.value() or b"0")) * 1000)
    writer.join()
    consumer.close()
    return took[20:]


def measured(address: str, end: int | None, seconds: float) -> tuple[list[float], str]:
    """The tail's latencies while another process reads the large log up to *end*; with None for *seconds* alone."""
    stop = threading.Event()
    text = ""
    found: list[list[float]] = []
    thread = threading.Thread(target=lambda: found.append(tail(address, stop)))
    thread.start()
    if end is None:
        time.sleep(seconds)
    else:
        time.sleep(1)
        # At low priority, or it is the processor that is measured.
        command = ["nice", "-n", "19", sys.executable, "-c", READER, address, str(end), "600"]
        size, took = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
        text = f"{size / 1e9:.1f} GB read in {took:.1f} s ({size / took / 1e6:.0f} MB/s)"
    stop.set()
    thread.join()
    return found[0], text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--dir", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as root:
        data_dir = Path(root) / "data"
        with served(data_dir) as (address, ready):
            print(f"ready, empty: {ready * 1000:.0f} ms")
            admin = AdminClient({"bootstrap.servers": address})
            for future in admin.create_topics([NewTopic(name, 1, 1) for name in ("large", "tail")]).values():
                future.result()
        end = fill(data_dir / "large-0", int(arguments.gigabytes * 1e9))
        with served(data_dir) as (address, ready):
            print(f"ready, {arguments.gigabytes:g} GB cleanly closed: {ready * 1000:.0f} ms")
            for name in ("idle", "cold", "warm"):
                if name == "cold":
                    chill(data_dir / "large-0")
                took, text = measured(address, None if name == "idle" else end, arguments.seconds)
                centiles = quantiles(took, n=1000)
                print(
                    f"tail, {name}: p50 {centiles[499]:.2f} ms, p99 {centiles[989]:.2f} ms,"
                    f" p99.9 {centiles[998]:.2f} ms, max {max(took):.1f} ms, {len(took)} records; {text}"
                )


if __name__ == "__main__":
    main()
