"""`eventbus consumers`, as an operator uses it beside a running service."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from eventbus.config import load_settings
from eventbus.database import Database, InboxHorizons
from tests.crash.world import read_tables
from tests.eventbus.cli.test_command import Result, eventbus

SERVICE = """
import sys
import anyio
from eventbus import Application, Event, handles

class Paid(Event, topic="payments", key="order_id"):
    order_id: str

@handles(Paid)
async def note(event: Paid) -> None:
    print(event.order_id, flush=True)

app = Application("shop", modules=[sys.modules[__name__]], partitions=1)

async def main() -> None:
    async with app.lifespan():
        for number in range(5):
            await app.publish(Paid(order_id=f"o-{number}"))
        await anyio.sleep_forever()

if __name__ == "__main__":
    anyio.run(main)
"""
ORDERS = [f"o-{number}" for number in range(5)]
SEEK = ("consumers", "seek", "--app", "service:app", "--consumer", "shop", "--topic", "payments")


class Running:
    """The service, and what its handler has printed."""

    def __init__(self, directory: Path, settings: Mapping[str, str], process: "subprocess.Popen[str]") -> None:
        self._directory = directory
        self._settings = settings
        self.database_url = load_settings(
            "shop", **{name.removeprefix("EVENTBUS_").lower(): value for name, value in settings.items()}
        ).effective_database_url
        self.handled: list[str] = []
        self._process = process
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.handled.append(line.strip())

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, self.handled
            assert self._process.poll() is None
            time.sleep(0.05)

    def checkpoint(self) -> int:
        """Of the only partition."""
        (row,) = json.loads(self.eventbus("consumers", "list", "--service", "shop", "--json").stdout)
        assert (row["consumer"], row["topic"], row["partition"]) == ("shop", "payments", 0)
        return int(row["next_offset"])

    def is_at_end(self) -> bool:
        """Whether all that it has handled is committed, and what is no record is passed too."""
        (row,) = json.loads(self.seek("--to-beginning", "--json").stdout)["seeks"]
        return bool(row["from"] == row["log_end"])

    def seek(self, *arguments: str) -> Result:
        return self.eventbus(*SEEK, *arguments)

    def eventbus(self, *arguments: str) -> Result:
        return eventbus(self._directory, *arguments, **self._settings)

    def has_forgotten(self, before: datetime) -> None:
        """Whatever was handled before then has expired, as the service does it itself after days."""

        async def expire() -> None:
            database = Database.from_url(self.database_url)
            async with database.transaction() as connection:
                await InboxHorizons().expire(connection, "shop", before, (), limit=1000)
            await database.aclose()

        anyio.run(expire)


@pytest.fixture
def service(tmp_path: Path, service_settings: dict[str, str]) -> Iterator[Running]:
    """A running service that has handled five payments."""
    (tmp_path / "service.py").write_text(SERVICE)
    process = subprocess.Popen(
        [sys.executable, "service.py"],
        cwd=tmp_path,
        env={**os.environ, **service_settings, "EVENTBUS_INSTANCE_ID": "shop-0"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        running = Running(tmp_path, service_settings, process)
        running.until(lambda: sorted(running.handled) == ORDERS)
        running.until(running.is_at_end)
        yield running
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_effects_are_repeated_only_when_that_is_said(service: Running) -> None:
    """Seeking back is safe while the inbox remembers; behind its horizon it is refused without --repeat-effects."""
    planned = service.seek("--to-beginning", "--json")
    (row,) = json.loads(planned.stdout)["seeks"]
    assert (row["to"], row["first_forgotten"]) == (0, None)
    before = service.checkpoint()
    assert before >= len(ORDERS)

    done = service.seek("--to-beginning", "--execute")
    assert done.returncode == 0, done.stderr
    # The owner is idle and finds by itself that it was moved.
    service.until(lambda: service.checkpoint() == before)
    assert sorted(service.handled) == ORDERS

    service.has_forgotten(datetime.now(UTC) + timedelta(seconds=1))
    shown = service.seek("--to-beginning")
    assert (shown.returncode, "--repeat-effects" in shown.stdout) == (0, True)
    refused = service.seek("--to-beginning", "--execute")
    assert (refused.returncode, service.checkpoint()) == (2, before)
    assert "payments-0: the record at offset 0 was written at" in refused.stderr
    assert "the inbox has forgotten what was handled before" in refused.stderr

    repeated = service.seek("--to-beginning", "--execute", "--repeat-effects")
    assert repeated.returncode == 0, repeated.stderr
    service.until(lambda: len(service.handled) == 10)
    assert sorted(service.handled) == sorted(ORDERS * 2)


def test_a_place_is_an_offset_or_a_time_within_the_log(service: Running) -> None:
    """What is outside, what nobody reads, and two places at once are refused with words; a dry run changes nothing."""
    before = service.checkpoint()
    for arguments, words in (
        (("--offset", "999", "--partition", "0"), "payments-0: 999 is outside of the log, which has 0 to"),
        (("--offset", "1"), "add --partition"),
        (("--offset", "1", "--partition", "7"), "no checkpoint in payments-7; in partitions 0"),
        ((), "one of --offset N, --to-beginning, --to-time TIME"),
        (("--to-beginning", "--topic", "orders"), "no checkpoint in orders; in payments"),
        (("--to-beginning", "--consumer", "stock"), "no consumer stock; there is shop"),
    ):
        refused = service.seek(*arguments)
        assert refused.returncode == 2
        assert words in refused.stderr
    assert (
        "Say which service"
        in service.eventbus("consumers", "seek", "--consumer", "shop", "--topic", "payments", "--to-beginning").stderr
    )

    def place(*arguments: str) -> int:
        result = service.seek(*arguments, "--json")
        assert result.returncode == 0, result.stderr
        return int(json.loads(result.stdout)["seeks"][0]["to"])

    assert place("--offset", "3", "--partition", "0") == 3
    assert place("--to-time", "2020-01-01") == 0
    assert place("--to-time", (datetime.now(UTC) + timedelta(days=1)).isoformat()) >= len(ORDERS)
    assert service.checkpoint() == before
    found = read_tables(service.database_url, {"found": "SELECT count(*) FROM eventbus_inbox"})["found"]
    assert [tuple(row) for row in found] == [(len(ORDERS),)]
