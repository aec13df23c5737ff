"""FastStream's publishing: `await broker.publish(model, topic, key=…)`, by that many callers at once."""

import asyncio
import time
from collections.abc import Mapping

from benchmarks import answering
from benchmarks.peers.faststream_handling import Paid, broker_of


async def main(answers: answering.Answers) -> None:
    given = answering.given()
    events, callers = given["events"], given["callers"]
    broker = broker_of(given["client"], given["address"])
    await broker.start()

    async def run(_turn: Mapping[str, object]) -> dict[str, float]:
        async def call(first: int) -> None:
            for number in range(first, events, callers):
                key = f"order-{number % 1000}"
                event = Paid(order_id=key, amount=number, reference="a reference of some length")
                await broker.publish(event, given["topic"], key=key.encode())

        begun, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(call(first) for first in range(callers)))
        seconds = time.perf_counter() - begun
        return {"rate": events / seconds, "CPU": (time.process_time() - cpu) / events * 1e6}

    try:
        await answers.loop(run)
    finally:
        await broker.stop()


if __name__ == "__main__":
    answering.serve(main)
