"""The same requests to `broker serve` and to Apache Kafka: the answers are the same, but for the listed differences."""

from collections.abc import Iterator

import pytest

from broker.wire.apis import ApiKey
from tests.interop.differential.allowed import ALLOWED, Allowed, excuse
from tests.interop.differential.preparation import prepare
from tests.interop.differential.runner import Finding, Runner
from tests.interop.differential.scenario import Scenario
from tests.interop.differential.scenarios import SCENARIOS
from tests.interop.toolchain import kafka_jars
from tests.servers.broker_process import running_broker
from tests.servers.kafka_server import running_kafka

pytestmark = pytest.mark.interop

REQUESTS_AT_LEAST = 2000
_USED: set[Allowed] = set()


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    folder = tmp_path_factory.mktemp("differential")
    # What both are told is what the other would do otherwise: no waiting for members, as many partitions for offsets.
    ours = ("group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=6")
    # Assignments are made at once, not in batches of a second (KIP-1263); the transaction log has one partition.
    theirs = {"group.consumer.assignment.interval.ms": "0", "transaction.state.log.num.partitions": "1"}
    options = [word for setting in ours for word in ("--set", setting)]
    with (
        running_kafka(kafka_jars(), folder / "kafka", properties=theirs) as kafka,
        running_broker(folder / "broker", *options) as broker,
    ):
        both = Runner((broker.host, broker.port), (kafka.host, kafka.port))
        prepare(both)
        yield both


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_answers_are_those_of_apache_kafka(runner: Runner, scenario: Scenario) -> None:
    """Field by field, apart from ids, times and the listed differences."""
    unexcused: list[Finding] = []
    for finding in runner.play(scenario):
        allowed = excuse(finding)
        if allowed is None:
            unexcused.append(finding)
        else:
            _USED.add(allowed)
    assert not unexcused, f"{len(unexcused)} differences:\n" + "\n".join(map(str, unexcused[:40]))


def _skip_unless_all_were_played(runner: Runner) -> None:
    if not {scenario.name for scenario in SCENARIOS} <= runner.played:
        pytest.skip("says something after all scenarios only")


def test_every_version_of_every_api_was_compared(runner: Runner) -> None:
    """What our broker advertises and Apache Kafka serves, too; more than two thousand requests in all."""
    _skip_unless_all_were_played(runner)
    missing = [
        f"{key.name} v{version}"
        for key, (lowest, highest) in runner.ranges.items()
        for version in range(lowest, highest + 1)
        if (key, version) not in runner.asked
    ]
    assert not missing
    assert sum(runner.asked.values()) >= REQUESTS_AT_LEAST
    assert ApiKey.PRODUCE in runner.ranges


def test_every_listed_difference_is_there(runner: Runner) -> None:
    """One that no longer shows is taken off the list and off the page."""
    _skip_unless_all_were_played(runner)
    assert [allowed.reason for allowed in ALLOWED if allowed not in _USED] == []
