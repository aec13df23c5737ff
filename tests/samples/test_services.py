"""The samples over HTTP, as running processes."""

import os
import signal
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.samples.conftest import Samples, make_samples
from tests.servers.logs import Log, delete_topics
from tests.servers.postgres import PostgresServer


def _order(order_id: str, *, customer: str = "", price: str = "10.00") -> dict[str, Any]:
    lines = [{"sku": "apple", "quantity": 1, "price": price}]
    return {"order_id": order_id, "customer_id": customer or f"customer-{order_id}", "lines": lines}


def _await_status(url: str, order_id: str, wanted: set[str], seconds: float = 30) -> dict[str, Any]:
    return _await_row(f"{url}/orders/{order_id}", wanted, seconds)


def _await_row(url: str, wanted: set[str], seconds: float) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    row: dict[str, Any] | None = None
    while time.monotonic() < deadline:
        row = httpx.get(url, timeout=10).json()
        if row is not None and row["status"] in wanted:
            return row
        time.sleep(0.05)
    raise AssertionError(f"{url} is not {wanted} after {seconds} s: {row}")


@pytest.fixture
def order_id() -> str:
    return f"o-{uuid.uuid4().hex[:8]}"


def test_an_order_within_the_limit_is_paid(samples: Samples, order_id: str) -> None:
    """202 with a receipt, then `paid` in the read model, and a payment in the other service's."""
    answer = httpx.post(f"{samples.orders.url}/orders", json=_order(order_id))
    assert answer.status_code == 202
    assert len(answer.json()["event_ids"]) == 1
    row = _await_status(samples.orders.url, order_id, {"paid", "rejected"})
    assert row == {"order_id": order_id, "customer_id": f"customer-{order_id}", "status": "paid", "total": "10.00"}
    # Each service has a read model of its own: one's being ready says nothing of the other's.
    payment = _await_row(f"{samples.payments.url}/payments/{order_id}", {"authorized", "declined"}, seconds=30)
    assert (payment["status"], payment["amount"]) == ("authorized", "10.00")


def test_both_services_tell_probes_that_they_live_and_are_ready(samples: Samples) -> None:
    """`/health/live` and `/health/ready`, as an orchestrator asks for them."""
    for url in (samples.orders.url, samples.payments.url):
        assert httpx.get(f"{url}/health/live").status_code == 200
        answer = httpx.get(f"{url}/health/ready")
        assert (answer.status_code, answer.json()["problems"]) == (200, [])


def test_an_order_beyond_the_limit_is_rejected(samples: Samples, order_id: str) -> None:
    """A customer's credit of 1,000 covers one order of 600, not two."""
    customer = f"customer-{order_id}"
    for number in (1, 2):
        order = _order(f"{order_id}-{number}", customer=customer, price="600.00")
        httpx.post(f"{samples.orders.url}/orders", json=order).raise_for_status()
        _await_status(samples.orders.url, f"{order_id}-{number}", {"paid"} if number == 1 else {"rejected"})


def test_malformed_json_is_422(samples: Samples) -> None:
    """FastAPI's own answer, with the place."""
    answer = httpx.post(
        f"{samples.orders.url}/orders", content=b'{"order_id": ', headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "lines",
    [
        [{"sku": "a", "quantity": 0, "price": "1"}],
        [{"sku": "a", "quantity": 1}],
        [{"sku": "a", "quantity": 1, "price": "1e400"}],
        "none",
    ],
)
def test_a_wrong_field_is_422(samples: Samples, order_id: str, lines: object) -> None:
    """A command is a pydantic model: what it does not allow never reaches a handler."""
    answer = httpx.post(f"{samples.orders.url}/orders", json=_order(order_id) | {"lines": lines})
    assert answer.status_code == 422


@pytest.mark.parametrize("name", ["order_id", "customer_id"])
def test_an_empty_name_is_422(samples: Samples, order_id: str, name: str) -> None:
    """Nobody's aggregate has an empty id: neither the order's here nor the credit's in the other service."""
    answer = httpx.post(f"{samples.orders.url}/orders", json=_order(order_id) | {name: ""})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", name]


@pytest.mark.parametrize("limit", ["0", "1001", "many"])
def test_a_wrong_limit_of_a_list_is_422(samples: Samples, limit: str) -> None:
    """A query is a pydantic model, too: FastAPI reads it from the address and says what is wrong."""
    for url in (f"{samples.orders.url}/orders", f"{samples.payments.url}/payments"):
        answer = httpx.get(url, params={"limit": limit})
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["query", "limit"]


def test_a_list_goes_on_where_the_page_before_ended(samples: Samples, order_id: str) -> None:
    """`after` and `limit`, in the order of the ids."""
    ids = [f"{order_id}-{number}" for number in range(3)]
    for each in ids:
        httpx.post(f"{samples.orders.url}/orders", json=_order(each)).raise_for_status()
        _await_status(samples.orders.url, each, {"paid"})
    page = httpx.get(f"{samples.orders.url}/orders", params={"after": ids[0], "limit": 2}).json()
    assert [row["order_id"] for row in page] == ids[1:]


def test_a_broken_rule_is_409_with_the_rules_words(samples: Samples, order_id: str) -> None:
    """An order is placed once; the second POST is told so as an RFC 9457 problem."""
    httpx.post(f"{samples.orders.url}/orders", json=_order(order_id)).raise_for_status()
    answer = httpx.post(f"{samples.orders.url}/orders", json=_order(order_id))
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == f"order '{order_id}' has been placed already"


def test_a_repeated_idempotency_key_answers_the_first_receipt(samples: Samples, order_id: str) -> None:
    """The same POST again, with its key, is no second order and no error."""
    answers = [
        httpx.post(f"{samples.orders.url}/orders", json=_order(order_id), headers={"idempotency-key": order_id})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()


def test_an_unknown_order_is_null(samples: Samples) -> None:
    """A query's answer is what its type says."""
    assert httpx.get(f"{samples.orders.url}/orders/nobody-ordered-this").json() is None


@dataclass
class Killable:
    """What the services are given, how their log is killed (by a service's status), and how it comes back."""

    settings: list[dict[str, str]]
    kill: Callable[[dict[str, Any]], None]
    bring_back: Callable[[], object]


def _kill_broker(status: dict[str, Any]) -> None:
    os.kill(status["broker_pid"], signal.SIGKILL)


@pytest.fixture
def killable(log_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Killable:
    """An embedded broker, which the services start again by themselves; a node of Apache Kafka, with PostgreSQL."""
    if log_kind == "embedded":
        embedded = {"EVENTBUS_BROKER_URL": f"embedded:{tmp_path}"}
        return Killable([embedded, embedded], _kill_broker, lambda: None)
    log: Log = request.getfixturevalue("log")
    postgres: PostgresServer = request.getfixturevalue("postgres")
    delete_topics(log.bootstrap, {"orders", "payments"})
    settings = [
        {"EVENTBUS_BROKER_URL": log.url, "EVENTBUS_DATABASE_URL": postgres.url(postgres.create_database())}
        for _ in range(2)
    ]
    return Killable(settings, lambda _status: log.kill(), log.start)


@pytest.mark.kills_the_log
def test_services_start_in_any_order_and_survive_a_broker_that_is_killed(
    killable: Killable, tmp_path: Path, order_id: str
) -> None:
    """The payment service comes first, the order service later; the broker dies by SIGKILL; every order is settled."""
    running = make_samples(tmp_path, *killable.settings)
    try:
        running.payments.start()
        running.payments.await_ready()
        running.orders.start()
        running.orders.await_ready()
        httpx.post(f"{running.orders.url}/orders", json=_order(f"{order_id}-1")).raise_for_status()
        _await_status(running.orders.url, f"{order_id}-1", {"paid"}, seconds=60)
        killable.kill(httpx.get(f"{running.orders.url}/status").json())
        # Commands commit without a broker.
        httpx.post(f"{running.orders.url}/orders", json=_order(f"{order_id}-2"), timeout=10).raise_for_status()
        killable.bring_back()
        _await_status(running.orders.url, f"{order_id}-2", {"paid"}, seconds=90)
        assert (running.orders.stop(), running.payments.stop()) == (0, 0)
    finally:
        running.orders.kill()
        running.payments.kill()
