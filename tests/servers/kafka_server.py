"""
A real Apache Kafka from Maven's jars: formatted, started, awaited, stopped; one node, or several that replicate.

Every node is broker and controller at once (KRaft), in a process of its own below one temporary folder.
"""

import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from broker.wire.messages.metadata import MetadataRequest, MetadataResponse
from tests.servers.raw_client import RawClient

# A random one may begin with "-", which Kafka's own formatting tool takes for an option.
CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qk"
START_SECONDS_MAX = 60.0
_JAVA_OPTIONS = ("-Xms384m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class KafkaNode:
    """One process of a cluster: its number (node.id, from 1 on), its client port and its log file."""

    def __init__(
        self,
        jars: Path,
        folder: Path,
        number: int,
        port: int,
        properties: Mapping[str, str],
        java_options: Sequence[str],
    ) -> None:
        self.number = number
        self.port = port
        self.log_file = folder / "kafka.log"
        self._command = ["java", *java_options, "-cp", f"{jars}/*"]
        self._properties = folder / "node.properties"
        folder.mkdir(parents=True)
        self._properties.write_text(
            "".join(f"{key}={value}\n" for key, value in {**properties, "log.dirs": str(folder / "data")}.items()),
            encoding="utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def format(self) -> None:
        """Prepares the node's data folder, once before its first start."""
        tool = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._properties)]
        done = subprocess.run([*self._command, *tool], capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()

    def start(self) -> None:
        """Returns at once; the cluster is awaited as a whole."""
        assert self._process is None, "it runs already"
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, "kafka.Kafka", str(self._properties)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def stop(self, timeout: float = 30) -> None:
        """SIGTERM: leadership is handed over, logs are synced."""
        self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL, 15)

    @property
    def pid(self) -> int:
        assert self._process is not None, "it does not run"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _end(self, how: signal.Signals, timeout: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(15)


class KafkaCluster:
    """
    Apache Kafka on free ports of the loopback, with *nodes* nodes below *folder*.

    *properties* are added to those of every node and win over them. With one node every topic has one replica; with
    three or more, three replicas of which two have to be in sync.
    """

    def __init__(
        self,
        jars: Path,
        folder: Path,
        *,
        nodes: int = 1,
        properties: Mapping[str, str] | None = None,
        java_options: Sequence[str] = _JAVA_OPTIONS,
    ) -> None:
        ports = _free_ports(2 * nodes)
        client_ports, controller_ports = ports[:nodes], ports[nodes:]
        voters = ",".join(f"{number}@127.0.0.1:{port}" for number, port in enumerate(controller_ports, start=1))
        self.host = "127.0.0.1"
        self.nodes = [
            KafkaNode(
                jars,
                folder / f"node-{number}",
                number,
                port,
                {
                    **_common_properties(nodes),
                    "node.id": str(number),
                    "controller.quorum.voters": voters,
                    "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
                    "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
                    **(properties or {}),
                },
                java_options,
            )
            for number, (port, controller_port) in enumerate(zip(client_ports, controller_ports, strict=True), start=1)
        ]

    @property
    def port(self) -> int:
        """The first node's."""
        return self.nodes[0].port

    @property
    def bootstrap(self) -> str:
        """`HOST:PORT,…`, as clients' bootstrap.servers want it."""
        return ",".join(f"{self.host}:{node.port}" for node in self.nodes)

    def start(self) -> "KafkaCluster":
        """Formats and starts every node; returns when the first lists them all."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(KafkaNode.format, self.nodes))
        for node in self.nodes:
            node.start()
        self.wait_for(len(self.nodes))
        return self

    def wait_for(self, brokers: int) -> None:
        """Until some running node knows of so many brokers."""
        end = time.monotonic() + START_SECONDS_MAX
        while True:
            for node in self.nodes:
                if node.is_running and _brokers_known_to(self.host, node.port) == brokers:
                    return
            if time.monotonic() > end or not any(node.is_running for node in self.nodes):
                logs = "\n".join(f"{node.log_file}:\n{node.log_file.read_text()[-4000:]}" for node in self.nodes)
                raise AssertionError(f"no {brokers} brokers within {START_SECONDS_MAX} s:\n{logs}")
            time.sleep(0.1)

    def close(self) -> None:
        """Kills what still runs: its data goes with its folder."""
        for node in self.nodes:
            node.kill()


@contextmanager
def running_kafka(
    jars: Path,
    folder: Path,
    *,
    nodes: int = 1,
    properties: Mapping[str, str] | None = None,
    java_options: Sequence[str] = _JAVA_OPTIONS,
) -> Iterator[KafkaCluster]:
    """A cluster that is killed with the block."""
    cluster = KafkaCluster(jars, folder, nodes=nodes, properties=properties, java_options=java_options)
    try:
        yield cluster.start()
    finally:
        cluster.close()


def _common_properties(nodes: int) -> dict[str, str]:
    replicas, in_sync = ("3", "2") if nodes >= 3 else ("1", "1")
    return {
        "process.roles": "broker,controller",
        "controller.listener.names": "CONTROLLER",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": "6",
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": "3",
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "group.initial.rebalance.delay.ms": "0",
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "replica.lag.time.max.ms": "3000",
    }


def _brokers_known_to(host: str, port: int) -> int:
    try:
        with RawClient(host, port, timeout=5) as client:
            return len(client.ask(MetadataRequest(topics=()), MetadataResponse, 9).brokers)
    except (OSError, EOFError):
        return 0


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
