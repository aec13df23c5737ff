"""The relay as benchmarks.relay measures it: a full outbox drained, then one event a time into an idle one."""

from collections.abc import Mapping

from benchmarks import answering
from benchmarks.figures import percentile
from benchmarks.relay import Bench
from eventbus.application.garbage import spare_the_collector
from eventbus.database import Migrations
from eventbus.transport import KafkaTransport


async def main(answers: answering.Answers) -> None:
    given = answering.given()
    kind = "sqlite" if given["url"].startswith("sqlite") else "postgresql"
    bench = Bench(kind, given["url"], given["address"], 1)
    transport = KafkaTransport(given["address"])
    await transport.start()
    await Migrations(bench.database).upgrade()
    await transport.ensure_topics({"accounts": 12})

    async def run(_turn: Mapping[str, object]) -> dict[str, float]:
        rate = await bench.drain(transport, given["rows"])
        found = await bench.latencies(transport, given["seconds"])
        return {"rate": rate.a_second, "p50": percentile(found, 0.5), "p99": percentile(found, 0.99)}

    try:
        spare_the_collector()
        await answers.loop(run)
    finally:
        await transport.aclose()
        await bench.database.aclose()


if __name__ == "__main__":
    answering.serve(main)
