"""`eventbus projections`, as an operator uses it beside a running service."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.eventbus.cli.test_command import eventbus

SERVICE = """
import sys
import anyio
from eventbus import Application, Event, Query, Row, RowProjection, View, handles, projects

class OrderPlaced(Event, topic="orders", key="order_id"):
    order_id: str

class OrderCount(Row, key="order_id"):
    order_id: str

class OrderCounts(RowProjection[OrderCount], topics=["orders"]):
    @projects(OrderPlaced)
    def placed(self, row: OrderCount | None, event: OrderPlaced) -> OrderCount:
        return OrderCount(order_id=event.order_id)

app = Application("shop", modules=[sys.modules[__name__]], partitions=3)

async def publish() -> None:
    # The service without its view: another process that has commands only.
    offline = Application("shop", modules=[], partitions=3)
    async with offline.lifespan():
        for number in range(7, 12):
            await offline.publish(OrderPlaced(order_id=f"o-{number}"))
        while (await offline.status())["relay"]["rows"] != 0:
            await anyio.sleep(0.02)

async def main() -> None:
    async with app.lifespan():
        for number in range(7):
            await app.publish(OrderPlaced(order_id=f"o-{number}"))
        while await View(OrderCounts, app.database).count() < 7:
            await anyio.sleep(0.02)
        print("applied", flush=True)
        await anyio.sleep_forever()

if __name__ == "__main__":
    anyio.run(publish if sys.argv[1:] else main)
"""
SECONDS_MAX = 30
APP = ("--app", "service:app")


@dataclass
class Started:
    """A service's directory and its environment."""

    directory: Path
    settings: dict[str, str]


@dataclass
class Running(Started):
    """And its process."""

    process: subprocess.Popen[str]


@pytest.fixture
def service(tmp_path: Path, service_settings: dict[str, str]) -> Iterator[Running]:
    """A running service whose view has seen seven orders."""
    (tmp_path / "service.py").write_text(SERVICE)
    process = subprocess.Popen(
        [sys.executable, "service.py"],
        cwd=tmp_path,
        env={**os.environ, **service_settings, "EVENTBUS_INSTANCE_ID": "shop-0"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "applied\n"
        yield Running(tmp_path, service_settings, process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def said(service: Running, *arguments: str) -> str:
    result = eventbus(service.directory, "projections", *arguments, **service.settings)
    assert result.returncode == 0, result.stderr
    return result.stdout


def status(service: Running) -> dict[str, object]:
    (found,) = json.loads(said(service, "status", "--json", "--seconds", "0", *APP))
    return dict(found)


def test_a_view_is_watched_paused_built_switched_gone_back_from_and_cleaned_up(service: Running) -> None:
    """The way of an operator through all commands, on the log and the database of a service that goes on."""
    deadline = time.monotonic() + SECONDS_MAX
    while (found := status(service))["lag"] != 0:  # behind the markers of the relay's transactions, too
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    assert (found["state"], found["generation"], found["code_version"]) == ("live", 1, 1)
    partitions = found["partitions"]
    assert isinstance(partitions, list)
    assert [one["partition"] for one in partitions] == [0, 1, 2]
    assert all(one["position"] == one["end"] for one in partitions)
    words = said(service, "status", "order_counts", *APP)
    assert words.startswith("order_counts: live, generation 1 (version 1), lag 0, 0 offsets/s")

    assert said(service, "pause", "order_counts", *APP).startswith("order_counts is paused; eventbus projections resu")
    assert "was paused already" in said(service, "pause", "order_counts", *APP)
    assert status(service)["state"] == "paused"
    assert "paused since" in said(service, "status", "--seconds", "0", *APP)
    assert "paused by" in said(service, "list", *APP)
    assert said(service, "resume", "order_counts", *APP) == "order_counts goes on\n"
    assert said(service, "resume", "order_counts", *APP) == "order_counts was not paused\n"

    assert "generation 2 (version 1) is built" in said(service, "rebuild", "order_counts", "--no-switch", *APP)
    assert "equal to the ones before, row by row" in said(service, "switch", "order_counts", *APP)
    assert status(service)["generation"] == 2
    *steps, result = said(service, "rollback", "order_counts", "--json", *APP).splitlines()
    assert steps
    assert (json.loads(result)["generation"], json.loads(result)["switched"]) == (1, True)
    shown = said(service, "drop", "order_counts", "2", *APP)
    assert "view_order_counts_2, view_order_counts_2_streams: would be dropped; add --yes to do it" in shown
    assert json.loads(said(service, "drop", "order_counts", "2", "--yes", "--json", *APP))["dropped"] is True
    (row,) = json.loads(said(service, "list", "--json", *APP))
    assert (row["generation"], row["state"]) == (1, "live")


def test_a_view_that_is_behind_says_by_how_much(service: Running) -> None:
    """Nothing is wrong with it: five orders have come while no process of it was there."""
    deadline = time.monotonic() + SECONDS_MAX
    while (before := status(service))["lag"] != 0:
        assert time.monotonic() < deadline, before
        time.sleep(0.05)
    service.process.kill()
    service.process.wait()
    publish = [sys.executable, "service.py", "publish"]
    subprocess.run(publish, cwd=service.directory, env={**os.environ, **service.settings}, check=True, timeout=60)
    found = status(service)
    lag, partitions = found["lag"], found["partitions"]
    assert isinstance(lag, int)
    assert lag >= 5
    assert isinstance(partitions, list)
    assert sum(one["lag"] for one in partitions) == sum(one["end"] - one["position"] for one in partitions) == lag
    assert (found["state"], found["generation"], found["position"]) == ("live", 1, before["position"])
    words = said(service, "status", "order_counts", *APP)
    assert words.startswith(f"order_counts: live, generation 1 (version 1), lag {lag}, 0 offsets/s\n")
    (row,) = json.loads(said(service, "list", "--json", *APP))
    assert (row["state"], row["offset"], row["note"]) == ("live", before["position"], None)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["pause", "orders"], 2, "No projection 'orders' was started here; there is order_counts."),
        (["status", "orders", "--seconds", "0"], 2, "No projection 'orders' was started here; there is order_counts."),
        (["drop", "order_counts", "1", "--yes"], 2, "generation 1 of 'order_counts' is live: views read it."),
        (["drop", "order_counts", "9"], 2, "projection 'order_counts' has no generation 9; it has 1."),
        (["rollback", "orders"], 2, "shop has no projection 'orders'; it has order_counts."),
        (["rollback", "order_counts"], 1, "none is kept"),
        (["switch", "order_counts"], 1, "`eventbus projections rebuild order_counts --no-switch` builds one"),
        (["rebuild", "order_counts", "--from-store"], 1, "topic 'orders' is not written by an aggregate"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    started: Started, arguments: list[str], code: int, words: str
) -> None:
    """With the names that there are, and the way out."""
    result = eventbus(started.directory, "projections", *arguments, *APP, **started.settings)
    assert result.returncode == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, module_settings: dict[str, str]) -> Started:
    """What a service has left that was started once."""
    directory = tmp_path_factory.mktemp("started")
    (directory / "service.py").write_text(SERVICE.replace("await anyio.sleep_forever()", ""))
    environment = {**os.environ, **module_settings}
    subprocess.run([sys.executable, "service.py"], cwd=directory, env=environment, check=True, timeout=60)
    return Started(directory, module_settings)
