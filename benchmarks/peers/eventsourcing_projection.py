"""The `eventsourcing` library: a projection with a tracking recorder of its own view, run by its ProjectionRunner on
PostgreSQL (its SQLite module has no subscriptions)."""

import asyncio
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking, TrackingRecorder
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL

from benchmarks import answering
from benchmarks.case import Unsound
from benchmarks.peers.eventsourcing_store import environment


class Order(Aggregate):
    @event("Placed")
    def __init__(self, customer_id: str, total: Decimal) -> None:
        self.customer_id, self.total, self.status = customer_id, total, "placed"

    @event("Paid")
    def pay(self, payment_id: str) -> None:
        self.status = "paid"

    @event("Shipped")
    def ship(self, carrier: str) -> None:
        self.status = "shipped"


class Shop(Application[UUID]):
    pass


class PostgresOrders(PostgresTrackingRecorder):
    """The view: a row an order, written with the tracking of the event."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sql_create_statements.append(
            SQL("CREATE TABLE IF NOT EXISTS order_summaries (id TEXT PRIMARY KEY, status TEXT)")
        )

    def put(self, id: str, status: str, tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(
                "INSERT INTO order_summaries VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET status = excluded.status",
                (id, status),
            )

    def shipped(self) -> int:
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute("SELECT count(*) AS found FROM order_summaries WHERE status = 'shipped'")
            return int(cursor.fetchone()["found"])


class Orders(Projection[TrackingRecorder]):
    """Named anew for each turn, so that it begins at the first event."""

    name = "orders"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        status = {"Placed": "placed", "Paid": "paid", "Shipped": "shipped"}[type(domain_event).__name__]
        view: Any = self.view
        view.put(str(domain_event.originator_id), status, tracking)


async def main(answers: answering.Answers) -> None:
    given = answering.given()
    env = environment(given["url"], 1)
    orders = given["events"] // 3
    shop = Shop(env=env)
    last = 0
    for number in range(orders):
        order = Order(f"c-{number % 997}", Decimal(number))
        order.pay(f"p-{number}")
        order.ship("by land")
        last = shop.save(order)[-1].notification.id

    def turn() -> dict[str, float]:
        # The tables of a projection have its name in theirs; the view's is emptied with it.
        projection = type("Orders", (Orders,), {"name": f"orders{uuid4().hex[:8]}"})
        begun, cpu = time.perf_counter(), time.process_time()
        with ProjectionRunner(
            application_class=Shop, projection_class=projection, view_class=PostgresOrders, env=env
        ) as runner:
            runner.wait(last, timeout=80)
            seconds, used = time.perf_counter() - begun, time.process_time() - cpu
            shipped = runner.view.shipped()
        if shipped != orders:
            raise Unsound(f"of {orders} orders {shipped} are shipped in the view")
        return {"rate": orders * 3 / seconds, "CPU": used / (orders * 3) * 1e6}

    async def run(_turn: Mapping[str, object]) -> dict[str, float]:
        return await asyncio.to_thread(turn)

    await answers.loop(run)
    shop.close()


if __name__ == "__main__":
    answering.serve(main)
