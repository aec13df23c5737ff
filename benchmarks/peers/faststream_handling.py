"""
FastStream's handling of a topic of payments: a subscriber with a pydantic model, by aiokafka or confluent-kafka.

policy   `default` as it comes (the offset is committed before the handler has run), `at-least-once` with
         AckPolicy.NACK_ON_ERROR, of which its documentation says that the message is acknowledged after the handler
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from faststream import AckPolicy
from pydantic import BaseModel

from benchmarks import answering
from benchmarks.case import Unsound


class Paid(BaseModel):
    order_id: str
    amount: int
    reference: str


def broker_of(client: str, address: str) -> Any:
    if client == "aiokafka":
        from faststream.kafka import KafkaBroker as Chosen
    else:
        from faststream.confluent import KafkaBroker as Chosen  # type: ignore[assignment]
    return Chosen(address, logger=None)


async def main(answers: answering.Answers) -> None:
    given = answering.given()
    events: int = given["events"]

    async def run(_turn: Mapping[str, object]) -> dict[str, float]:
        broker = broker_of(given["client"], given["address"])
        seen, begun, cpu = 0, 0.0, 0.0
        ended = asyncio.Event()
        options: dict[str, Any] = {"group_id": f"peer-{uuid4().hex[:8]}", "auto_offset_reset": "earliest"}
        if given["policy"] == "at-least-once":
            options["ack_policy"] = AckPolicy.NACK_ON_ERROR

        @broker.subscriber(given["topic"], **options)
        async def count(event: Paid) -> None:
            nonlocal seen, begun, cpu
            if not seen:
                begun, cpu = time.perf_counter(), time.process_time()
            seen += 1
            if seen == events:
                ended.set()

        await broker.start()
        try:
            await asyncio.wait_for(ended.wait(), given["seconds_max"])
            seconds, used = time.perf_counter() - begun, time.process_time() - cpu
            await asyncio.sleep(0.2)
            if seen != events:
                raise Unsound(f"{events} events, {seen} handled")
        except TimeoutError:
            raise Unsound(f"of {events} events {seen} were handled in {given['seconds_max']} s") from None
        finally:
            await broker.stop()
        return {"rate": (events - 1) / seconds, "CPU": used / events * 1e6}

    await answers.loop(run)


if __name__ == "__main__":
    answering.serve(main)
