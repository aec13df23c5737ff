"""`eventbus topics` on a log that is reached by a kafka:// URL."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from eventbus.transport.kafka import KafkaTransport
from eventbus.transport.kafka.administration import ClusterAdministration, TopicRequest, TopicState
from eventbus.transport.kafka.replication import Replication
from tests.eventbus.cli.test_command import APPLICATION, Result, eventbus
from tests.servers.logs import Log


def _topics(directory: Path, log: Log, *arguments: str, partitions: int = 6) -> Result:
    (directory / "service.py").write_text(APPLICATION.replace('"orders"', f'"{directory.name}"'))
    return eventbus(
        directory,
        "topics",
        *arguments,
        EVENTBUS_APP="service:app",
        EVENTBUS_BROKER_URL=log.url,
        EVENTBUS_PARTITIONS=str(partitions),
    )


def _await(happened: Callable[[], bool]) -> None:
    """One node of a cluster hears of a change a little later than another."""
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _state(cluster: ClusterAdministration, topic: str) -> TopicState:
    _await(lambda: topic in cluster.topics([topic]))
    return cluster.topics([topic])[topic]


def test_what_is_missing_is_planned_checked_and_applied(tmp_path: Path, log: Log, log_kind: str) -> None:
    """`check` fails until `apply` has made the topics, with what keeps everything; three copies on three nodes."""
    planned = _topics(tmp_path, log, "plan", "--json")
    (row,) = json.loads(planned.stdout)["topics"]
    assert (planned.returncode, row["state"], row["partitions"]) == (0, "missing", 6)
    assert _topics(tmp_path, log, "check").returncode == 1
    applied = _topics(tmp_path, log, "apply")
    assert (applied.returncode, "created with 6 partitions" in applied.stdout) == (0, True)
    _await(lambda: _topics(tmp_path, log, "check").returncode == 0)
    made = _state(ClusterAdministration(log.bootstrap, {}), tmp_path.name)
    assert (made.partitions, made.own["retention.ms"]) == (6, "-1")
    copies = (made.replicas, made.own.get("min.insync.replicas"))
    assert copies == ((3, "2") if log_kind == "kafka" else (1, None))


def test_settings_that_lose_records_are_set_and_partitions_are_never_added(tmp_path: Path, log: Log) -> None:
    """More partitions would break the order of a key: the words name the way, and the exit code is 1."""
    cluster = ClusterAdministration(log.bootstrap, {})
    cluster.create({tmp_path.name: TopicRequest(3, None, {"retention.ms": "1000", "cleanup.policy": "compact"})})
    applied = _topics(tmp_path, log, "apply")
    assert applied.returncode == 1
    assert "has 3 partitions, not 6: adding some would send a key's later records" in applied.stdout
    assert (
        'eventbus migrate --from "$EVENTBUS_BROKER_URL" --to "$EVENTBUS_BROKER_URL" '
        f"--topic {tmp_path.name}={tmp_path.name}-6 --partitions 6"
    ) in applied.stdout
    _await(lambda: _topics(tmp_path, log, "check", partitions=3).returncode == 0)
    found = _state(cluster, tmp_path.name)
    assert found.partitions == 3
    assert (found.effective["retention.ms"], found.effective["cleanup.policy"]) == ("-1", "delete")


def test_a_service_that_may_not_create_topics_says_which_are_missing_and_waits(
    tmp_path: Path, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    """EVENTBUS_CREATE_TOPICS=false: it goes on when somebody has made them."""
    cluster = ClusterAdministration(log.bootstrap, {})

    async def start() -> None:
        transport = KafkaTransport(log.bootstrap, create_topics=False)
        await transport.start()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(transport.ensure_topics, {tmp_path.name: 2})
                with anyio.fail_after(30):
                    while "topics are missing" not in caplog.text:
                        await anyio.sleep(0.02)
                assert cluster.topics([tmp_path.name]) == {}
                cluster.create({tmp_path.name: TopicRequest(2, None, {})})
        finally:
            await transport.aclose()

    anyio.run(start)
    assert f"EVENTBUS_CREATE_TOPICS=false: {tmp_path.name};" in caplog.text


def test_three_copies_are_kept_where_there_are_three_brokers() -> None:
    """Of which two have to have a record; a smaller cluster keeps what it keeps, and a setting wins."""
    assert Replication.on(3) == Replication(3, {"min.insync.replicas": "2"})
    assert Replication.on(1) == Replication(None)
    assert Replication.on(5, 2) == Replication(2)
