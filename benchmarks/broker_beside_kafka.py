"""
`broker serve` beside a warm Apache Kafka on the same machine: the figures that the aims are given in.

    python -m benchmarks.broker_beside_kafka [--repeat 5] [--megabytes 100] [--json]

One node each, in turns, after a warm-up; Kafka's JVM has 1 GB of heap and its usual garbage collector. `broker bench`
does the measuring. How long the broker takes to its ready file is measured apart, on an empty directory.
Needs Java and Maven (`make test-interop` fetches the jars).
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.interop.toolchain import kafka_jars
from tests.servers.broker_process import running_broker
from tests.servers.kafka_server import running_kafka

HEAP: Final = ("-Xms1g", "-Xmx1g")
STARTS: Final = 5
# Its default, a minute, would put the removal of files into somebody's later measurement.
DELETES_SOON: Final = {"log.segment.delete.delay.ms": "100"}


def ready_seconds(folder: Path) -> float:
    """From the start of the process to the ready file, the median of some starts on empty directories."""
    times: list[float] = []
    for number in range(STARTS):
        with running_broker(folder / f"empty-{number}") as broker:
            times.append(broker.ready_seconds)
    return statistics.median(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="broker-beside-kafka-") as name:
        folder = Path(name)
        ready = ready_seconds(folder)
        print(
            json.dumps({"ready_seconds": round(ready, 3)}) if arguments.json else f"ready in {ready:.3f} s", flush=True
        )
        with (
            running_kafka(kafka_jars(), folder / "kafka", properties=DELETES_SOON, java_options=HEAP) as kafka,
            running_broker(folder / "broker") as broker,
        ):
            command = [sys.executable, "-m", "broker", "bench", broker.bootstrap, "--pid", str(broker.pid)]
            command += ["--compare", kafka.bootstrap, "--compare-pid", str(kafka.nodes[0].pid)]
            command += ["--repeat", str(arguments.repeat), "--megabytes", str(arguments.megabytes), "--warm-up", "2"]
            return subprocess.run([*command, *(["--json"] if arguments.json else [])], check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
