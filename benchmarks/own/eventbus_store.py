"""
The event store's work as benchmarks.event_store does it; `what` is append, command, load, replay, raw (the bare
driver's two inserts), raw_many (64 times those in one transaction) or raw_load (its fetch of a stream), `callers` how
many at once, for `seconds` a turn.
"""

from collections.abc import Awaitable, Callable, Mapping

from benchmarks import answering
from benchmarks.event_store import AT_ONCE, EVENTS_OF_A_STREAM, Bench
from eventbus.application.garbage import spare_the_collector
from eventbus.database import Migrations


async def main(answers: answering.Answers) -> None:
    given = answering.given()
    what: str = given["what"]
    bench = Bench(given["url"], given["seconds"], 1)
    await Migrations(bench.database).upgrade()
    if what == "command":
        await bench.open_accounts()
    id = await bench.fill() if what in {"load", "replay", "raw_load"} else ""
    works: dict[str, Callable[[], Awaitable[None]]] = {
        "append": bench.append,
        "command": bench.command,
        "load": lambda: bench.load(id),
        "replay": lambda: bench.replay(id),
        "raw": bench.raw,
        "raw_many": bench.raw_many,
        "raw_load": lambda: bench.fetch(id),
    }

    async def run(_turn: Mapping[str, object]) -> dict[str, float]:
        if what in {"raw", "raw_many"} and given["url"].startswith("sqlite"):
            rate = bench.raw_on_sqlite(AT_ONCE if what == "raw_many" else 1)
        else:
            rate = await bench.rate(works[what], given["callers"])
            if what == "raw_many":
                rate = rate.times(AT_ONCE)
        if id:
            rate = rate.times(EVENTS_OF_A_STREAM)
        return {"rate": rate.a_second, "CPU": rate.cpu_us}

    try:
        spare_the_collector()
        await answers.loop(run)
    finally:
        await bench.database.aclose()


if __name__ == "__main__":
    answering.serve(main)
