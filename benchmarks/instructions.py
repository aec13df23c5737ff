"""
Instructions of the hot paths, counted by `valgrind --tool=callgrind`: a series that other work on the machine does not
move.

    python -m benchmarks.instructions [--path NAME] [--note TEXT]

Each path is run in two processes, with N and with 2 N repetitions: the difference over N is what one repetition takes,
without the interpreter's start and the imports. A line of JSON for each run of this program is added to
benchmarks/results/instructions.jsonl: date, commit, versions, instructions by path. Counts of one interpreter on one
machine compare to a fraction of a percent; those of another Python do not compare with them at all.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final, cast

from benchmarks.record import RESULTS, commit

SERIES: Final = RESULTS / "instructions.jsonl"
_COLLECTED: Final = re.compile(r"Collected : (\d+)")


def _append() -> Callable[[], object]:
    """The broker's append of a batch of ten records of 100 B to a log on disk: validated, stamped, written."""
    from broker.clock import SystemClock
    from broker.records import NewRecord, build_batch
    from broker.storage import DiskFileSystem, LogConfig, PartitionLog

    clock = SystemClock()
    folder = Path(tempfile.mkdtemp(prefix="instructions-"))
    log = PartitionLog.open(folder / "log-0", files=DiskFileSystem(), clock=clock, config=LogConfig(), clean=True)
    batch = build_batch([NewRecord(None, bytes(100)) for _ in range(10)], timestamp=clock.now_ms())
    return lambda: log.append(memoryview(bytearray(batch)), leader_epoch=0)


def _decode_produce() -> Callable[[], object]:
    """The decoding of a produce request, as the broker does it for every one."""
    from broker.records import NewRecord, build_batch
    from broker.wire.frame import decode_request, encode_request
    from broker.wire.headers import decode_request_header
    from broker.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

    batch = build_batch([NewRecord(None, bytes(100))], timestamp=0)
    data = PartitionProduceData(index=0, records=memoryview(batch))
    request = ProduceRequest(acks=1, timeout_ms=1, topic_data=[TopicProduceData(name="orders", partition_data=[data])])
    body = encode_request(request, 9, 1, "client")[4:]
    return lambda: decode_request(decode_request_header(body), body)


class _Peer:
    """What the dispatcher needs of a connection."""

    peer, client_host = "here", "here"
    repeated_produce: object = None


def _request(kind: str) -> Callable[[], object]:
    """The broker's way from the bytes of a request to those of its answer: all but the socket."""
    from broker.records import NewRecord, build_batch
    from broker.server.connection import Connection
    from broker.server.dispatch import Dispatcher
    from broker.storage import LogSlice
    from broker.wire.frame import encode_request
    from broker.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
    from broker.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
    from tests.broker.handlers.conftest import InProcessBroker

    broker = InProcessBroker(Path(tempfile.mkdtemp(prefix="instructions-")) / "data")
    broker.state.catalog.create("orders", 1, {})
    batch = memoryview(build_batch([NewRecord(None, bytes(100))], timestamp=broker.clock.now_ms()))
    data = TopicProduceData(name="orders", partition_data=[PartitionProduceData(index=0, records=batch)])
    produce = encode_request(ProduceRequest(acks=1, timeout_ms=1, topic_data=[data]), 9, 1, "client")[4:]
    asked = FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1 << 20)
    fetch = encode_request(
        FetchRequest(max_bytes=1 << 20, topics=[FetchTopic(topic="orders", partitions=[asked])]), 12, 1, "client"
    )[4:]
    dispatcher = Dispatcher(broker.state, lambda: None)
    connection = cast("Connection", _Peer())

    def answer(frame: bytes) -> None:
        for piece in dispatcher.handle(connection, memoryview(bytearray(frame))) or ():
            if isinstance(piece, LogSlice):
                piece.release()

    answer(produce)
    return lambda: answer(fetch if kind == "fetch" else produce)


def _dispatch() -> Callable[[], object]:
    """A hundred commands to a handler that does nothing."""
    from benchmarks import dispatch

    send = dispatch.ways()["commands.send(command)"]
    loop = asyncio.new_event_loop()

    async def hundred() -> None:
        for _ in range(100):
            await send()

    return lambda: loop.run_until_complete(hundred())


def _decode_event() -> Callable[[], object]:
    """An event from JSON, and back to JSON."""
    from benchmarks.projections import OrderPlaced
    from eventbus.serialization import encode

    value = encode(OrderPlaced(order_id="o-1", customer_id="c-1", total=Decimal(5)))
    return lambda: encode(OrderPlaced.model_validate_json(value))


PATHS: Final[dict[str, tuple[Callable[[], Callable[[], object]], int]]] = {
    "broker: append a batch": (_append, 200),
    "broker: decode a produce request": (_decode_produce, 200),
    "broker: answer a produce request": (lambda: _request("produce"), 500),
    "broker: answer a fetch request": (lambda: _request("fetch"), 500),
    "eventbus: dispatch 100 commands": (_dispatch, 20),
    "eventbus: decode and encode an event": (_decode_event, 500),
}


def counted(output: str) -> int:
    """The instructions that callgrind says it has collected. Raises ValueError with its words when it has not."""
    found = _COLLECTED.search(output)
    if found is None:
        raise ValueError(f"callgrind collected nothing: {output[-500:]}")
    return int(found.group(1))


def of_path(name: str) -> int:
    """Instructions of one repetition of a path."""
    repetitions = PATHS[name][1]
    # Run once before: what Python compiles and keeps the first time is not to be counted with either.
    command = [sys.executable, "-m", "benchmarks.instructions", "--path", name, "--repetitions", "1"]
    subprocess.run(command, check=True, timeout=120)
    once, twice = (_callgrind(name, times * repetitions) for times in (1, 2))
    return (twice - once) // repetitions


def _callgrind(name: str, repetitions: int) -> int:
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable]
    command += ["-m", "benchmarks.instructions", "--path", name, "--repetitions", str(repetitions)]
    # One hash seed: dictionaries of strings are then filled alike.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=600)
    return counted(done.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", choices=list(PATHS), help="one path instead of all")
    parser.add_argument("--repetitions", type=int, help="run the path so often, and count nothing: what callgrind runs")
    parser.add_argument("--note", default="", help="what is different now, kept with the counts")
    given = parser.parse_args()
    if given.repetitions:
        work = PATHS[given.path][0]()
        for _ in range(given.repetitions):
            work()
        return 0
    if shutil.which("valgrind") is None:
        print("valgrind is missing: apt-get install valgrind", file=sys.stderr)
        return 2
    found: dict[str, int] = {}
    for name in [given.path] if given.path else PATHS:
        found[name] = of_path(name)
        print(f"{name:40} {found[name]:12,d} instructions", flush=True)
    line = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "python": platform.python_version(),
        "note": given.note,
        "instructions": found,
    }
    SERIES.parent.mkdir(exist_ok=True)
    with SERIES.open("a", encoding="utf-8") as series:
        series.write(json.dumps(line) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
