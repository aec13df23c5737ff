import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import anyio
import httpx
import pytest
from fastapi import FastAPI

from eventbus import Application
from eventbus.errors import (
    ConcurrencyConflict,
    DatabaseUnavailable,
    DomainError,
    NotYetApplied,
    SchemaOutdated,
    StreamNotFound,
)
from eventbus.http import health, http_errors

pytestmark = pytest.mark.anyio


class OrderAlreadyPlaced(DomainError):
    pass


async def answer(error: Exception) -> httpx.Response:
    api = FastAPI(exception_handlers=http_errors)

    @api.get("/")
    async def fail() -> None:
        raise error

    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://test") as client:
        return await client.get("/")


async def test_a_business_rule_is_a_409_with_its_words() -> None:
    """RFC 9457, with a type that names the rule."""
    response = await answer(OrderAlreadyPlaced("order o-1 is placed already"))
    assert response.status_code == 409
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "urn:eventbus:problem:order-already-placed",
        "title": "Order already placed",
        "status": 409,
        "detail": "order o-1 is placed already",
    }


async def test_a_conflict_is_a_409_and_a_missing_stream_a_404() -> None:
    """Both are the caller's to deal with."""
    assert (await answer(ConcurrencyConflict("order-1", 3, 5))).status_code == 409
    assert (await answer(StreamNotFound("order-1"))).status_code == 404


async def test_what_is_away_is_a_503_that_names_no_host() -> None:
    """The reason is for the log; the caller is told to try again."""
    response = await answer(DatabaseUnavailable("db.internal:5432/orders is away"))
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert "internal" not in response.text


async def test_a_view_that_is_behind_is_a_503() -> None:
    """The command has happened; asking again later answers."""
    response = await answer(NotYetApplied("view 'x' had not applied orders-0 offset 3 after 1 s"))
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert "offset 3" in response.json()["detail"]


async def test_a_view_that_is_not_built_yet_is_a_503() -> None:
    """Another instance may have it; the command that helps is for the operator."""
    response = await answer(SchemaOutdated("projection 'x': build it with `eventbus projections rebuild x`"))
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert "rebuild" not in response.text


async def test_health_is_live_at_once_and_ready_when_the_service_runs(tmp_path: Path, empty_log_url: str) -> None:
    """A probe may come before the lifespan has begun, and after it has ended."""
    app = Application("probed", modules=[], broker_url=empty_log_url, database_url=f"sqlite:///{tmp_path}/db")
    api = FastAPI(lifespan=app.lifespan)
    api.mount("/health", health(app))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://test") as client:
        assert (await client.get("/health/live")).status_code == 200
        before = await client.get("/health/ready")
        assert (before.status_code, before.json()["problems"]) == (503, ["not running"])
        async with app.lifespan():
            with anyio.fail_after(60):
                while (found := await client.get("/health/ready")).status_code != 200:
                    assert found.json()["problems"]
                    await anyio.sleep(0.02)
            assert found.json() == {"service": "probed", "ready": True, "problems": []}
        assert (await client.get("/health/ready")).status_code == 503


async def test_other_errors_stay_a_500() -> None:
    """They are nobody's business outside."""
    with pytest.raises(KeyError):
        await answer(KeyError("secret"))


def start(directory: Path, body: str, port: int) -> "subprocess.Popen[str]":
    (directory / "service.py").write_text(textwrap.dedent(body))
    return subprocess.Popen(
        [sys.executable, "-c", f"from eventbus.http import serve; serve('service:api', port={port})"],
        cwd=directory,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_served_application_ends_with_code_0_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    """A supervisor that stops it sees a clean stop."""
    port = free_port()
    process = start(tmp_path, "from fastapi import FastAPI\napi = FastAPI()", port)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                httpx.get(f"http://127.0.0.1:{port}/")
                break
            except httpx.TransportError:
                time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "body",
    [
        """
        from eventbus.errors import InvalidConfiguration
        raise InvalidConfiguration("EVENTBUS_BROKER_URL is wrong.")
        """,
        """
        from contextlib import asynccontextmanager
        import anyio
        from fastapi import FastAPI
        from eventbus.errors import InvalidConfiguration

        @asynccontextmanager
        async def lifespan(api):
            async with anyio.create_task_group():
                raise InvalidConfiguration("EVENTBUS_BROKER_URL is wrong.")
            yield

        api = FastAPI(lifespan=lifespan)
        """,
    ],
    ids=["at import", "in the lifespan"],
)
def test_a_wrong_setting_is_one_sentence_and_code_2(tmp_path: Path, body: str) -> None:
    """Without a traceback, wherever it is found out."""
    process = start(tmp_path, body, free_port())
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "EVENTBUS_BROKER_URL is wrong.\n" in errors
    assert "Traceback" not in errors
