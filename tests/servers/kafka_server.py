"""
A real Apache Kafka from Maven's jars: formatted, started, awaited, stopped; one node, or several that replicate.

Every node is broker and controller at once (KRaft), in a process of its own below one temporary folder. Nodes are named
by their number (node.id), from 1 on.
"""

import base64
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from broker.wire.messages.metadata import MetadataRequest, MetadataResponse, MetadataResponsePartition
from tests.servers.raw_client import RawClient

# A random one may begin with "-", which Kafka's own formatting tool takes for an option.
CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qk"
START_SECONDS_MAX = 60.0
# Below the range from which Linux takes the ports of outgoing connections: a node that is started again finds its own
# free, and a client that calls a dead node does not reach itself.
_PORTS = range(15_000, 32_000)
_JAVA_OPTIONS = ("-Xms384m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class KafkaNode:
    """One process of a cluster: its number, its client port and its log file."""

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
        self._jars = jars
        self._data = folder / "data"
        self.log_file = folder / "kafka.log"
        # Archived classes are used where they fit, and nothing is said where they do not.
        self._command = ["java", "-Xlog:cds=off", "-Xlog:cds+dynamic=off", *java_options, "-cp", f"{jars}/*"]
        self._properties = folder / "node.properties"
        folder.mkdir(parents=True)
        self._properties.write_text(
            "".join(f"{key}={value}\n" for key, value in {**properties, "log.dirs": str(self._data)}.items()),
            encoding="utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._is_frozen = False

    def share_classes(self) -> None:
        """From an archive of what a node loads: it starts with half the processor time."""
        self._command.insert(1, f"-XX:SharedArchiveFile={_class_archive(self._jars)}")

    def archive_classes(self, file: Path) -> None:
        """What it loads is written there when it stops."""
        self._command.insert(1, f"-XX:ArchiveClassesAtExit={file}")

    def format(self, cluster_id: str = CLUSTER_ID) -> None:
        """Prepares the node's data folder, before its first start and after `erase`."""
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._properties)]
        done = subprocess.run([*self._command, *tool], capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()

    def start(self) -> None:
        """Returns at once; the cluster is awaited as a whole."""
        assert self._process is None, "it runs already"
        with self.log_file.open("ab") as log:
            # A session of its own: Ctrl-C is for whoever started it, who stops it in good order.
            self._process = subprocess.Popen(
                [*self._command, "kafka.Kafka", str(self._properties)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self, timeout: float = 30) -> None:
        """SIGTERM: leadership is handed over, logs are synced."""
        self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL, 15)

    def erase(self) -> None:
        """Whatever it has kept is gone; it does not run."""
        assert not self.is_running, "it runs"
        shutil.rmtree(self._data)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        self._is_frozen = True

    def thaw(self) -> None:
        """SIGCONT: it goes on as if no time had passed."""
        if self.is_running:
            os.kill(self.pid, signal.SIGCONT)
        self._is_frozen = False

    @property
    def is_answering(self) -> bool:
        """It runs and is not frozen."""
        return self.is_running and not self._is_frozen

    @property
    def pid(self) -> int:
        assert self._process is not None, "it does not run"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _end(self, how: signal.Signals, timeout: float) -> None:
        self.thaw()
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

    *properties* are added to those of every node and win over them; `{node}` in a value is its number. With one node
    every topic has one replica; with three or more, three replicas of which two have to be in sync.
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
                    **{key: value.replace("{node}", str(number)) for key, value in (properties or {}).items()},
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

    @property
    def url(self) -> str:
        """What EVENTBUS_BROKER_URL is set to."""
        return f"kafka://{self.bootstrap}"

    def node(self, number: int) -> KafkaNode:
        """The node of that number, from 1 on."""
        return self.nodes[number - 1]

    def start(self) -> "KafkaCluster":
        """Formats and starts every node; returns when clients can use all of them."""
        for node in self.nodes:
            node.share_classes()
        self._format(CLUSTER_ID)
        self.resume()
        return self

    def kill(self, node: int) -> None:
        """SIGKILL: nothing is handed over."""
        self.node(node).kill()

    def freeze(self, node: int) -> None:
        """SIGSTOP: its connections stay open, it answers nobody, and the others lead in its place after a while."""
        self.node(node).freeze()

    def thaw(self, node: int) -> None:
        """SIGCONT: it goes on and learns that others lead."""
        self.node(node).thaw()

    def restart(self, node: int) -> None:
        """
        Stops the node as an operator does (SIGTERM: it hands its partitions over), if it runs, and starts it again.

        Returns when every replica is in sync: the next node of a rolling restart may go.
        """
        self.node(node).stop()
        self.resume()

    def replace(self) -> None:
        """Kills every node, loses all that they kept, and starts another cluster at the same addresses."""
        # Its first byte is fixed: an id that begins with "-" is taken for an option.
        cluster_id = base64.urlsafe_b64encode(b"2" + os.urandom(15)).decode().rstrip("=")
        for node in self.nodes:
            node.kill()
            node.erase()
        self._format(cluster_id)
        self.resume()

    def resume(self) -> None:
        """Thaws and starts whatever node does not answer; returns when all do and every replica is in sync."""
        for node in self.nodes:
            node.thaw()
            if not node.is_running:
                node.kill()
                node.start()
        self._until(lambda: all(self._is_whole(node) for node in self.nodes), "nodes that answer, in sync")

    def leader(self, topic: str, partition: int) -> int:
        """The node that leads it; waits while none does."""
        found = -1

        def is_led() -> bool:
            nonlocal found
            for place in self.partitions(topic):
                if place.partition_index == partition:
                    found = place.leader_id
            return found >= 1 and self.node(found).is_answering

        self._until(is_led, f"leader of {topic}[{partition}]")
        return found

    def partitions(self, topic: str) -> Sequence[MetadataResponsePartition]:
        """Leader and replicas of each partition, as a node that answers knows them."""
        for node in self.nodes:
            if node.is_answering and (known := _metadata(self.host, node.port)) is not None:
                return next((each.partitions for each in known.topics if each.name == topic), ())
        return ()

    def close(self) -> None:
        """Kills what still runs: its data goes with its folder."""
        for node in self.nodes:
            node.kill()

    def _format(self, cluster_id: str) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: node.format(cluster_id), self.nodes))

    def _is_whole(self, node: KafkaNode) -> bool:
        known = _metadata(self.host, node.port)
        return (
            known is not None
            and len(known.brokers) == len(self.nodes)
            and all(
                len(place.isr_nodes) == len(place.replica_nodes) for topic in known.topics for place in topic.partitions
            )
        )

    def _until(self, happened: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + START_SECONDS_MAX
        while not happened():
            dead = [node.number for node in self.nodes if not node.is_running]
            if time.monotonic() > end or len(dead) == len(self.nodes):
                logs = "\n".join(f"{node.log_file}:\n{node.log_file.read_text()[-4000:]}" for node in self.nodes)
                raise AssertionError(f"no {what} within {START_SECONDS_MAX} s; ended: {dead}\n{logs}")
            time.sleep(0.1)


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


def _class_archive(jars: Path) -> Path:
    """The archive beside the jars, made by a node that starts and stops where none is as new as they are."""
    archive = jars / "kafka.jsa"
    if not archive.exists() or archive.stat().st_mtime < (jars / "complete").stat().st_mtime:
        with tempfile.TemporaryDirectory(dir=jars) as folder:
            made = Path(folder) / archive.name
            cluster = KafkaCluster(jars, Path(folder) / "cluster")
            try:
                (node,) = cluster.nodes
                node.format()
                node.archive_classes(made)
                cluster.resume()
                node.stop(60)
            finally:
                cluster.close()
            made.replace(archive)
    return archive


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


def _metadata(host: str, port: int) -> MetadataResponse | None:
    """All that a node knows of brokers and topics; None while it does not answer."""
    try:
        with RawClient(host, port, timeout=5) as client:
            return client.ask(MetadataRequest(topics=None), MetadataResponse, 9)
    except (OSError, EOFError):
        return None


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError(f"no {count} free ports in {_PORTS}")
