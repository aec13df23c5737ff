"""
Sends malformed frames to a broker, and looks whether it minds.

Frames of real clients (captures/), damaged: flipped, cut, stretched, spliced, with other keys, versions and lengths;
and noise. They go out in volleys over many connections. What counts is a frame that the broker has come to a verdict
on: answered it, or closed the connection for it.

python -m tests.broker.wire.abuse --frames 1000000 [--seed N] [--address HOST:PORT]

Without an address it starts a broker of its own, and tells its memory, descriptors and threads before and after, and
how many requests it has answered and refused by its own metrics: more than are counted here, because the reset of a
connection overtakes the answers to the frames before it.
"""

import argparse
import contextlib
import json
import random
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.broker.wire.captures import captured
from tests.servers.broker_process import BrokerProcess, running_broker

VOLLEY_FRAMES = 24
ANSWER_SECONDS_MAX = 0.02
"""A frame that is parked (a fetch, a member that waits for others) is left alone after this."""

# A stranger may make topics, groups and ids; the limits keep that in bounds, and the run short.
LIMITS = ("max.partitions=300", "group.max.count=200", "socket.request.max.bytes=1048576")

_EXTREMES = (
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\x00\x00\x00\x00",
    b"\xff\xff",
    b"\x7f\xff",
)


class Mutator:
    """Makes frames, each with its size in front; the size of some is a lie."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._frames = [frame for frames in captured().values() for frame in frames]

    def frame(self) -> bytes:
        """One in twenty is noise; of the others every second has one bit flipped, which is read well mostly."""
        dice = self._random.random()
        if dice < 0.05:
            return self._sized(self._random.randbytes(self._random.randrange(200)))
        frame = bytearray(self._random.choice(self._frames))
        if dice < 0.5:
            frame[self._random.randrange(min(8, len(frame)), len(frame))] ^= 1 << self._random.randrange(8)
        else:
            for _ in range(self._random.choice((1, 1, 2, 4))):
                self._damage(frame)
        return self._sized(bytes(frame))

    def _damage(self, frame: bytearray) -> None:
        # The header's first 8 bytes (key, version, correlation id) are spared mostly: the body is worth more.
        low = 0 if self._random.random() < 0.1 else min(8, len(frame))
        at = self._random.randrange(low, len(frame) + 1) if len(frame) >= low else 0
        match self._random.randrange(7):
            case 0:
                for _ in range(self._random.choice((1, 3))):
                    if at < len(frame):
                        frame[at] ^= 1 << self._random.randrange(8)
            case 1:
                del frame[at:]
            case 2:
                frame[at:at] = self._random.randbytes(self._random.choice((1, 2, 40)))
            case 3:
                extreme = self._random.choice(_EXTREMES)
                frame[at : at + len(extreme)] = extreme
            case 4:
                other = self._random.choice(self._frames)
                frame[at:] = other[self._random.randrange(len(other)) :]
            case 5:
                del frame[at : at + self._random.choice((1, 2, 4, 8))]
            case _:
                key = self._random.choice((*range(76), -1, 999))
                frame[:4] = struct.pack(">hh", key, self._random.randrange(-1, 19))

    def _sized(self, frame: bytes) -> bytes:
        size = len(frame)
        if self._random.random() < 0.01:
            size = self._random.choice((-1, size + 1, max(0, size - 1), 2**31 - 1, 1 << 20, 1 << 21))
        return struct.pack(">i", size) + frame


@dataclass(slots=True)
class Verdicts:
    """What came of the frames: answered, or their connection closed; `waiting` got nothing within the time."""

    answered: int = 0
    closed: int = 0
    waiting: int = 0
    connections: int = 0

    @property
    def total(self) -> int:
        return self.answered + self.closed


def volley(host: str, port: int, frames: Sequence[bytes], verdicts: Verdicts) -> None:
    """Sends *frames* over one connection and counts what comes back until it is closed or silent."""
    verdicts.connections += 1
    with socket.socket() as client:
        # Ends with a reset: thousands of connections a second leave no waiting ports behind.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.settimeout(10)
        client.connect((host, port))
        answered, is_closed = 0, False
        try:
            client.sendall(b"".join(frames))
            client.settimeout(ANSWER_SECONDS_MAX)
            received = bytearray()
            while answered < len(frames):
                data = client.recv(1 << 18)
                if not data:
                    is_closed = True
                    break
                received += data
                while len(received) >= 4:
                    (size,) = struct.unpack_from(">i", received)
                    if len(received) < 4 + size:
                        break
                    del received[: 4 + size]
                    answered += 1
        except TimeoutError:
            verdicts.waiting += 1
        except (ConnectionError, BrokenPipeError):
            # A reset may overtake answers; the frame that caused it is one all the same.
            is_closed = True
    verdicts.answered += answered
    verdicts.closed += is_closed


def abuse(host: str, port: int, frames: int, seed: int, *, say: bool = False) -> Verdicts:
    """Sends damaged frames until the broker has come to a verdict on *frames* of them."""
    mutator, verdicts = Mutator(seed), Verdicts()
    began = told = time.monotonic()
    while verdicts.total < frames:
        volley(host, port, [mutator.frame() for _ in range(VOLLEY_FRAMES)], verdicts)
        if say and time.monotonic() - told > 10:
            told = time.monotonic()
            left = (told - began) / verdicts.total * (frames - verdicts.total)
            sys.stdout.write(f"{verdicts} elapsed={told - began:.0f}s eta={left:.0f}s\n")
            sys.stdout.flush()
    return verdicts


@dataclass(frozen=True, slots=True)
class Vitals:
    """Of a process: resident memory in MiB, open sockets and files (one a partition), threads."""

    resident_mib: float
    sockets: int
    files: int
    threads: int


def vitals(pid: int) -> Vitals:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    fields = dict(line.split(":", 1) for line in status.splitlines())
    links: list[str] = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        # One that is closed meanwhile is not open.
        with contextlib.suppress(FileNotFoundError):
            links.append(str(link.readlink()))
    sockets = sum(link.startswith("socket:") for link in links)
    return Vitals(int(fields["VmRSS"].split()[0]) / 1024, sockets, len(links) - sockets, int(fields["Threads"]))


def requests(broker: BrokerProcess) -> dict[str, int]:
    """What the broker's metrics count: requests that were understood, and those that closed their connection."""
    ready = json.loads(broker.data_dir.with_name(broker.data_dir.name + ".ready.json").read_text(encoding="utf-8"))
    page = HTTPConnection("127.0.0.1", int(ready["metrics_port"]), timeout=10)
    page.request("GET", "/metrics")
    text = page.getresponse().read().decode()
    page.close()
    found: dict[str, int] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in ("broker_request_seconds_count", "broker_requests_failed_total"):
                found[sample.name] = found.get(sample.name, 0) + int(sample.value)
    return found


def answers(broker: BrokerProcess) -> bool:
    """Whether a real client can still produce and consume."""
    from confluent_kafka import Consumer, Producer

    topic = f"after-{time.monotonic_ns()}"
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce("one", topic.encode())
    if producer.flush(15):
        return False
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe(["one"])
    end = time.monotonic() + 15
    while time.monotonic() < end:
        message = consumer.poll(0.2)
        if message is not None and message.value() == topic.encode():
            consumer.close()
            return True
    consumer.close()
    return False


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.broker.wire.abuse")
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--address")
    asked = parser.parse_args(arguments)
    if asked.address is not None:
        host, _, port = asked.address.rpartition(":")
        sys.stdout.write(f"{abuse(host, int(port), asked.frames, asked.seed, say=True)}\n")
        return 0
    with tempfile.TemporaryDirectory() as directory:
        settings = [each for limit in LIMITS for each in ("--set", limit)]
        with running_broker(Path(directory) / "data", *settings, "--metrics-listen", "127.0.0.1:0") as broker:
            abuse(broker.host, broker.port, min(20_000, asked.frames), asked.seed + 1)
            before = vitals(broker.pid)
            began = time.monotonic()
            verdicts = abuse(broker.host, broker.port, asked.frames, asked.seed, say=True)
            seconds = time.monotonic() - began
            time.sleep(1)
            sys.stdout.write(f"{verdicts} in {seconds:.0f} s, seed {asked.seed}\nbefore {before}\n")
            sys.stdout.write(f"after  {vitals(broker.pid)}\nby its own count {requests(broker)}\n")
            failures = [line for line in broker.log.splitlines() if " failed " in line or "Traceback" in line]
            for line in failures[:20]:
                sys.stdout.write(f"{line}\n")
            serves = answers(broker)
            sys.stdout.write(f"failures of its own: {len(failures)}; a real client is served: {serves}\n")
            return 0 if serves and not failures else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
