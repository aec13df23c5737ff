"""
The work of benchmarks.projections by `way`: raw (the loop over the records), catch_up (a view that was never started)
and rebuild (beside the live one). The topic is there and filled.
"""

from collections.abc import Mapping
from uuid import uuid4

from benchmarks import answering, projections
from benchmarks.case import Unsound
from eventbus.application.garbage import spare_the_collector
from eventbus.clock import SystemClock
from eventbus.database import Database, Migrations
from eventbus.projections import View, prepare_projections
from eventbus.transport import KafkaTransport


async def main(answers: answering.Answers) -> None:
    given = answering.given()
    events = given["events"] // 3 * 3
    transport = KafkaTransport(given["address"])
    await transport.start()
    database = Database.from_url(given["url"])
    await Migrations(database).upgrade()
    await prepare_projections(database, [projections.OrderSummaries], SystemClock())
    if given["way"] == "rebuild":
        await projections.catch_up(transport, database, events, f"live_{uuid4().hex[:6]}")

    async def run(turn: Mapping[str, object]) -> dict[str, float]:
        if given["way"] == "raw":
            rate = await projections.timed(events, lambda: projections.raw_loop(given["address"], events))
            return {"rate": rate.a_second, "CPU": rate.cpu_us}
        if given["way"] == "rebuild":
            rate = await projections.timed(events, lambda: projections.rebuild(transport, database))
            return {"rate": rate.a_second, "CPU": rate.cpu_us}
        # A view that was never started: a database of its own.
        service = f"t{turn['turn']}_{uuid4().hex[:6]}"
        fresh = Database.from_url(
            await projections.another_database(given["url"], f"t{turn['turn']}_{uuid4().hex[:6]}")
        )
        try:
            await Migrations(fresh).upgrade()
            await prepare_projections(fresh, [projections.OrderSummaries], SystemClock())
            rate = await projections.timed(events, lambda: projections.catch_up(transport, fresh, events, service))
            shipped = await View(projections.OrderSummaries, fresh).count(status="shipped")
            if shipped != events // 3:
                raise Unsound(f"of {events // 3} orders {shipped} are shipped in the view")
        finally:
            await fresh.aclose()
        return {"rate": rate.a_second, "CPU": rate.cpu_us}

    try:
        spare_the_collector()
        await answers.loop(run)
    finally:
        await transport.aclose()
        await database.aclose()


if __name__ == "__main__":
    answering.serve(main)
