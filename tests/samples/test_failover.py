"""
Both sample services on three nodes of Apache Kafka and PostgreSQL, which fail while orders flow.

After each failure every order that was accepted over HTTP is settled, and the demo's checker, which knows the topics
and the HTTP answers alone, finds no event lost, doubled or out of its stream's order, no payment made twice, and views
that are the fold of the log.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.samples.shop import Shop, open_shop
from tests.servers.logs import Clusters
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def shop(kafka_cluster: Clusters, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(kafka_cluster(3), postgres, tmp_path_factory.mktemp("failover")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def whole(shop: Shop) -> Iterator[None]:
    """Whatever a test has killed or frozen is back."""
    yield
    shop.cluster.resume()
    shop.postgres.start()


def test_a_partitions_leader_is_killed(shop: Shop, report: Callable[[str], None]) -> None:
    """SIGKILL: another replica leads, and nothing that was acknowledged is lost with it."""
    with shop.ordering(report, "leader killed"):
        killed = shop.cluster.leader("orders", 0)
        shop.cluster.kill(killed)
        assert shop.cluster.leader("orders", 0) != killed


def test_a_node_is_frozen(shop: Shop, report: Callable[[str], None]) -> None:
    """It holds its connections open and answers nobody, is given up, and comes back as if no time had passed."""
    with shop.ordering(report, "leader frozen"):
        frozen = shop.cluster.leader("payments", 0)
        shop.cluster.freeze(frozen)
        assert shop.cluster.leader("payments", 0) != frozen
        time.sleep(4)
        shop.cluster.thaw(frozen)


def test_all_nodes_are_restarted_one_after_the_other(shop: Shop, report: Callable[[str], None]) -> None:
    """As an operator does for a new release: each hands over, stops, starts, and is in sync before the next."""
    with shop.ordering(report, "rolling restart"):
        for node in shop.cluster.nodes:
            shop.cluster.restart(node.number)


def test_postgresql_is_restarted_and_killed(shop: Shop, report: Callable[[str], None]) -> None:
    """Under both services at once; what was not answered is asked again and happens once."""
    with shop.ordering(report, "PostgreSQL restarted, then killed"):
        shop.postgres.restart()
        time.sleep(2)
        shop.postgres.kill()
        shop.postgres.start()


@pytest.mark.parametrize(("view", "service"), [("order_summaries", "order_service"), ("payments", "payment_service")])
def test_a_view_that_is_rebuilt_equals_the_one_built_live(shop: Shop, view: str, service: str) -> None:
    """From the log as all these failures have left it, compared row by row before the switch."""
    live = shop.rows()[view]
    done = subprocess.run(
        [sys.executable, "-m", "eventbus.cli", "projections", "rebuild", view, "--app", f"{service}.service:app"],
        env={**os.environ, **shop.settings[service]},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "equal to the ones before, row by row" in done.stdout
    assert shop.rows()[view] == live
