"""
Records what real clients send: each works through a proxy in front of a broker, and two frames of every API are kept.

python -m tests.broker.wire.captures.record
"""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.broker.wire.captures import DIRECTORY, SUFFIX, join_frames, split_frames
from tests.servers.broker_process import running_broker

FRAMES_A_VERSION = 2
FRAME_BYTES_MAX = 4096


class Proxy:
    """Passes bytes on and keeps what the clients send, a stream for each connection."""

    def __init__(self) -> None:
        self.streams: list[bytearray] = []
        self.upstream = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listening.accept()
            server = socket.create_connection(("127.0.0.1", self.upstream))
            stream = bytearray()
            self.streams.append(stream)
            threading.Thread(target=_pass_on, args=(client, server, stream), daemon=True).start()
            threading.Thread(target=_pass_on, args=(server, client, bytearray()), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            kept += data
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def confluent(bootstrap: str) -> None:
    """Administration, idempotent and transactional producing, both group protocols."""
    from confluent_kafka import Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, ConfigResource
    from confluent_kafka.cimpl import NewPartitions, NewTopic

    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic("one", 2, 1)])["one"].result(10)
    admin.create_partitions([NewPartitions("one", 3)])["one"].result(10)
    admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, "one")])
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "compression.type": "lz4"})
    for number in range(20):
        producer.produce("one", b"value %d" % number, b"key %d" % number, headers={"header": b"x"})
    producer.flush(10)
    for protocol in ("classic", "consumer"):
        consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"g-{protocol}",
                "group.protocol": protocol,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
            }
        )
        consumer.subscribe(["one"])
        consumer.consume(20, 8)
        consumer.commit(asynchronous=False)
        consumer.committed([TopicPartition("one", 0)], 5)
        transactional = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"t-{protocol}"})
        transactional.init_transactions(10)
        for is_committed in (True, False):
            transactional.begin_transaction()
            transactional.produce("one", b"in a transaction")
            transactional.send_offsets_to_transaction(
                consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 10
            )
            if is_committed:
                transactional.commit_transaction(10)
            else:
                transactional.abort_transaction(10)
        consumer.close()
    admin.list_consumer_groups().result(10)
    admin.describe_consumer_groups(["g-classic"])["g-classic"].result(10)
    admin.delete_records([TopicPartition("one", 0, 1)])
    admin.delete_consumer_groups(["g-classic"])["g-classic"].result(10)
    admin.delete_topics(["one"])["one"].result(10)


def kafka_python(bootstrap: str) -> None:
    """Produce, a classic group, administration."""
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
    from kafka.admin import NewTopic

    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic("two", 2, 1)])
    producer = KafkaProducer(bootstrap_servers=bootstrap, compression_type="gzip")
    for number in range(5):
        producer.send("two", b"value %d" % number, b"key")
    producer.flush(10)
    consumer = KafkaConsumer("two", bootstrap_servers=bootstrap, group_id="g", auto_offset_reset="earliest")
    for _ in range(10):
        consumer.poll(500)
    consumer.commit()
    consumer.close()
    admin.list_groups()
    producer.close()
    admin.close()


def aiokafka(bootstrap: str) -> None:
    """Produce in a transaction, a classic group."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    async def work() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id="t")
        await producer.start()
        async with producer.transaction():
            await producer.send_and_wait("three", b"value", b"key")
        consumer = AIOKafkaConsumer("three", bootstrap_servers=bootstrap, group_id="g", auto_offset_reset="earliest")
        await consumer.start()
        await asyncio.wait_for(consumer.getone(), 20)
        await consumer.commit()
        await consumer.stop()
        await producer.stop()

    asyncio.run(work())


def kcat(bootstrap: str) -> None:
    """Produce, consume, list; where kcat is installed."""
    subprocess.run(["kcat", "-b", bootstrap, "-t", "four", "-P"], input=b"one\ntwo\n", check=True, timeout=30)
    subprocess.run(["kcat", "-b", bootstrap, "-t", "four", "-C", "-e"], check=True, timeout=30, stdout=-3)
    subprocess.run(["kcat", "-b", bootstrap, "-L"], check=True, timeout=30, stdout=-3)


CLIENTS: dict[str, Callable[[str], None]] = {
    "confluent-kafka": confluent,
    "kafka-python": kafka_python,
    "aiokafka": aiokafka,
    "kcat": kcat,
}


def record(name: str, work: Callable[[str], None], directory: Path) -> int:
    """The frames of one client; how many were kept."""
    proxy = Proxy()
    with running_broker(directory / name, "--advertise", f"127.0.0.1:{proxy.port}") as broker:
        proxy.upstream = broker.port
        work(f"127.0.0.1:{proxy.port}")
    kept: list[bytes] = []
    seen: Counter[bytes] = Counter()
    for stream in proxy.streams:
        for frame in split_frames(bytes(stream)):
            # API key and version.
            seen[frame[:4]] += 1
            if seen[frame[:4]] <= FRAMES_A_VERSION and len(frame) <= FRAME_BYTES_MAX:
                kept.append(frame)
    (DIRECTORY / f"{name}{SUFFIX}").write_bytes(join_frames(kept))
    return len(kept)


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        for name, work in CLIENTS.items():
            if name == "kcat" and shutil.which("kcat") is None:
                sys.stdout.write("kcat is not installed: its frames stay as they are\n")
                continue
            sys.stdout.write(f"{name}: {record(name, work, Path(directory))} frames\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
