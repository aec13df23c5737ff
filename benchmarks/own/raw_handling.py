"""The raw loop over a topic of payments: what any framework on confluent-kafka is at most."""

from collections.abc import Mapping

from benchmarks import answering
from benchmarks.delivery import raw_loop


async def main(answers: answering.Answers) -> None:
    given = answering.given()

    async def run(_turn: Mapping[str, object]) -> dict[str, float]:
        rate = await raw_loop(given["address"], given["events"])
        return {"rate": rate.a_second, "CPU": rate.cpu_us}

    await answers.loop(run)


if __name__ == "__main__":
    answering.serve(main)
