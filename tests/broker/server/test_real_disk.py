"""A broker process on a real file system of its own that fills up and is well again, under a real client."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="only root of a Linux may mount a file system"
)

KILOBYTE = b"x" * 1024


@dataclass
class MountedBroker:
    """A broker in a mount namespace of its own; `inside` is where others see its file system."""

    process: "subprocess.Popen[str]"
    mount: Path
    address: str
    log: Path

    @property
    def inside(self) -> Path:
        return Path(f"/proc/{self.process.pid}/root{self.mount}")

    def lines(self, text: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if text in line]


@contextmanager
def served(root: Path, megabytes: int) -> Iterator[MountedBroker]:
    mount, log = root / "disk", root / "log.txt"
    mount.mkdir()
    serve = f"{sys.executable} -m broker serve --data-dir {mount}/data --listen 127.0.0.1:0"
    command = f"mount -t tmpfs -o size={megabytes}m none {mount} && exec {serve}"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            ["unshare", "-m", "sh", "-c", command], stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        assert process.stdout is not None
        ready = process.stdout.readline()
        if not ready:
            pytest.skip(f"mounting is forbidden here: {log.read_text()}")
        try:
            yield MountedBroker(process, mount, ready.split()[-1], log)
        finally:
            process.terminate()
            assert process.wait() == 0


class Sender:
    """Sends numbered kilobytes, and counts what was acknowledged."""

    def __init__(self, address: str) -> None:
        admin = AdminClient({"bootstrap.servers": address})
        for future in admin.create_topics([NewTopic("t", 1, 1)]).values():
            future.result()
        self.address = address
        self.sent = self.acknowledged = 0
        self._producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 2})

    def send(self, count: int) -> None:
        for _ in range(count):
            self._producer.produce("t", b"%08d" % self.sent + KILOBYTE, on_delivery=self._delivered)
            self.sent += 1

    def wait(self, seconds: float) -> int:
        """How many are not acknowledged after *seconds* at most."""
        return self._producer.flush(seconds)

    def _delivered(self, error: KafkaError | None, _message: object) -> None:
        assert error is None
        self.acknowledged += 1

    def read(self) -> list[bytes]:
        """The numbers of all records that are in the topic."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "g", "enable.auto.commit": False})
        consumer.assign([TopicPartition("t", 0, 0)])
        end = consumer.get_watermark_offsets(TopicPartition("t", 0), timeout=5)[1]
        found: list[bytes] = []
        deadline = time.monotonic() + 10
        while len(found) < end and time.monotonic() < deadline:
            found += [(message.value() or b"")[:8] for message in consumer.consume(1000, 0.2) if not message.error()]
        consumer.close()
        return found


def test_a_full_disk_refuses_writes_serves_reads_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """Nothing that was sent is lost or doubled, nobody restarts anything, and two lines tell of it."""
    with served(tmp_path, megabytes=12) as broker:
        sender = Sender(broker.address)
        (broker.inside / "ballast").write_bytes(bytes(7 << 20))
        sender.send(8 << 10)
        assert sender.wait(2) > 0
        before = sender.acknowledged
        assert sender.read() == [b"%08d" % number for number in range(before)]
        assert len(broker.lines("disk is full")) == 1
        (broker.inside / "ballast").unlink()
        assert sender.wait(20) == 0
        assert sender.read() == [b"%08d" % number for number in range(sender.sent)]
        assert len(broker.lines("disk takes writes again")) == 1
    assert len(broker.lines("disk is full")) == 1
