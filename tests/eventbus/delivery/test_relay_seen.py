"""What the person on call sees of a relay that cannot go on: its status, its gauges, and `eventbus outbox`."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from eventbus.database import Database
from eventbus.observability import figures as told
from eventbus.transport import KafkaTransport
from tests.eventbus.cli.test_command import eventbus
from tests.eventbus.delivery.test_relay import add, is_empty, relay, relaying, row, until
from tests.servers.broker_process import running_broker

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.mark.anyio
@on_sqlite
async def test_a_refused_row_is_shown_retried_and_discarded_by_the_commands(
    transport: KafkaTransport, topic: str, database: Database, database_url: str, tmp_path: Path
) -> None:
    """While the relay runs: in JSON and in words; without --yes nothing is discarded."""
    huge = row(topic, 1, key="a", payload=b"x" * 3_000_000)
    subject = relay(database, transport)

    async def command(*arguments: str) -> str:
        result = await anyio.to_thread.run_sync(
            lambda: eventbus(tmp_path, "outbox", *arguments, "--database", database_url)
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    async def is_blocked() -> bool:
        return bool(json.loads(await command("blocked", "--json")))

    async with relaying(subject):
        await add(database, [huge, row(topic, 2, key="a")])
        await until(is_blocked)
        (shown,) = json.loads(await command("blocked", "--json"))
        assert (shown["event_id"], shown["topic"], shown["key"], shown["rows_waiting"]) == (huge.id, topic, "a", 2)
        status = json.loads(await command("status", "--json"))
        assert (status["rows"], [one["event_id"] for one in status["blocked"]]) == (2, [huge.id])
        assert status["oldest_age_seconds"] > 0
        words = await command("status")
        assert "2 waiting" in words
        assert "1 blocked, 2 rows wait there" in words
        assert huge.id in await command("blocked")
        assert "1 will be tried again" in await command("retry", huge.id)

        async def was_tried_again() -> bool:
            (again,) = json.loads(await command("blocked", "--json"))
            return bool(again["attempts"] > shown["attempts"])

        await until(was_tried_again)
        assert "1 would be discarded" in await command("discard", huge.id)
        assert await is_blocked()
        assert "1 discarded" in await command("discard", huge.id, "--yes")
        await until(lambda: is_empty(database))
        assert "nothing is blocked" in await command("blocked")
        assert "nothing is waiting" in await command("status")


@pytest.mark.anyio
@on_sqlite
async def test_a_log_that_refuses_the_transactional_id_is_told_by_status(database: Database, tmp_path: Path) -> None:
    """With the id; the rows stay."""
    with running_broker(tmp_path / "strict", "--set", "transactional.id.max.bytes=5") as strict:
        transport = KafkaTransport(strict.bootstrap)
        await transport.start()
        await transport.ensure_topics({"payments": 1})
        subject = relay(database, transport)

        async def has_told() -> bool:
            return "the log's permission" in (subject.status().waiting_for or "")

        async with relaying(subject):
            await add(database, [row("payments", 1)])
            await until(has_told)
            waiting_for = subject.status().waiting_for or ""
            assert "the log refuses the transactional id 'eventbus." in waiting_for
            assert "INVALID_REQUEST" in waiting_for
            assert not await is_empty(database)
        await transport.aclose()


_GAUGES = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))

from eventbus.observability import OutboxFigures, outbox_figures

def told():
    data = reader.get_metrics_data()
    return {
        metric.name: [(point.value, dict(point.attributes)) for point in metric.data.data_points]
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name.startswith("eventbus.outbox.")
    }

outbox_figures("shop", OutboxFigures(3, 1.5, 2))
print(sorted(told().items()))
outbox_figures("shop", None)
print([points for points in told().values() if points])
"""


def test_backlog_age_and_blocked_rows_reach_opentelemetry() -> None:
    """With an SDK, in a process of its own; a service whose relay has ended tells nothing any more."""
    done = subprocess.run([sys.executable, "-c", _GAUGES], capture_output=True, text=True, check=True)
    service = {"eventbus.service.name": "shop"}
    assert ast.literal_eval(done.stdout.splitlines()[0]) == [
        ("eventbus.outbox.blocked", [(2, service)]),
        ("eventbus.outbox.oldest.age", [(1.5, service)]),
        ("eventbus.outbox.rows", [(3, service)]),
    ]
    assert done.stdout.splitlines()[1] == "[]"


@pytest.mark.anyio
@on_sqlite
async def test_a_relay_tells_its_gauges(transport: KafkaTransport, topic: str, database: Database) -> None:
    """A blocked row and what waits behind it, as the relay has last counted them."""
    subject = relay(database, transport)

    async def is_told() -> bool:
        return any(figures.blocked == 1 and figures.rows == 2 for figures in told._outboxes.figures.values())

    async with relaying(subject):
        await add(database, [row(topic, 1, key="a", payload=b"x" * 3_000_000), row(topic, 2, key="a")])
        await until(is_told)
    assert not told._outboxes.figures
