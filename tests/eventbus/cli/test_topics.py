"""`eventbus topics` on a log that is reached by a kafka:// URL."""

import json
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from eventbus.transport.kafka import KafkaTransport
from eventbus.transport.kafka.administration import ClusterAdministration, TopicRequest
from eventbus.transport.kafka.replication import Replication
from tests.eventbus.cli.test_command import APPLICATION, Result, eventbus
from tests.servers.broker_process import BrokerProcess, running_broker


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with running_broker(tmp_path_factory.mktemp("topics") / "data") as process:
        yield process


def _topics(directory: Path, broker: BrokerProcess, *arguments: str, partitions: int = 6) -> Result:
    (directory / "service.py").write_text(APPLICATION.replace('"orders"', f'"{directory.name}"'))
    return eventbus(
        directory,
        "topics",
        *arguments,
        EVENTBUS_APP="service:app",
        EVENTBUS_BROKER_URL=f"kafka://{broker.bootstrap}",
        EVENTBUS_PARTITIONS=str(partitions),
    )


def test_what_is_missing_is_planned_checked_and_applied(tmp_path: Path, broker: BrokerProcess) -> None:
    """`check` fails until `apply` has made the topics, with the settings that keep everything."""
    planned = _topics(tmp_path, broker, "plan", "--json")
    (row,) = json.loads(planned.stdout)["topics"]
    assert (planned.returncode, row["state"], row["partitions"]) == (0, "missing", 6)
    assert _topics(tmp_path, broker, "check").returncode == 1
    applied = _topics(tmp_path, broker, "apply")
    assert (applied.returncode, "created with 6 partitions" in applied.stdout) == (0, True)
    assert _topics(tmp_path, broker, "check").returncode == 0
    made = ClusterAdministration(broker.bootstrap, {}).topics([tmp_path.name])[tmp_path.name]
    assert (made.partitions, made.own["retention.ms"]) == (6, "-1")


def test_settings_that_lose_records_are_set_and_partitions_are_never_added(
    tmp_path: Path, broker: BrokerProcess
) -> None:
    """More partitions would break the order of a key: the words name the way, and the exit code is 1."""
    cluster = ClusterAdministration(broker.bootstrap, {})
    cluster.create({tmp_path.name: TopicRequest(3, None, {"retention.ms": "1000", "cleanup.policy": "compact"})})
    applied = _topics(tmp_path, broker, "apply")
    assert applied.returncode == 1
    assert "has 3 partitions, not 6: adding some would send a key's later records" in applied.stdout
    assert (
        'eventbus migrate --from "$EVENTBUS_BROKER_URL" --to "$EVENTBUS_BROKER_URL" '
        f"--topic {tmp_path.name}={tmp_path.name}-6 --partitions 6"
    ) in applied.stdout
    found = cluster.topics([tmp_path.name])[tmp_path.name]
    assert found.partitions == 3
    assert (found.effective["retention.ms"], found.effective["cleanup.policy"]) == ("-1", "delete")
    assert _topics(tmp_path, broker, "check", partitions=3).returncode == 0


def test_a_service_that_may_not_create_topics_says_which_are_missing_and_waits(
    tmp_path: Path, broker: BrokerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    """EVENTBUS_CREATE_TOPICS=false: it goes on when somebody has made them."""
    cluster = ClusterAdministration(broker.bootstrap, {})

    async def start() -> None:
        transport = KafkaTransport(broker.bootstrap, create_topics=False)
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
