"""
The framework's handling of a topic of payments: consumer group, decoding, checkpoint, an inbox row for each event; with
`insert` the handler leaves a row of its own in the same transaction.
"""

from collections.abc import Mapping

from benchmarks import answering, delivery
from benchmarks.case import Unsound
from eventbus.application.garbage import spare_the_collector
from eventbus.database import Database, Migrations
from eventbus.transport import KafkaTransport


async def main(answers: answering.Answers) -> None:
    given = answering.given()
    database = Database.from_url(given["url"])
    transport = KafkaTransport(given["address"])
    await transport.start()
    await Migrations(database).upgrade()
    await delivery.make_rows(database)

    async def run(turn: Mapping[str, object]) -> dict[str, float]:
        service = f"{given['what']}-{turn['turn']}-{given['run']}"
        try:
            if given["what"] == "insert":
                rate = await delivery.insert_each(transport, database, service, given["events"])
            else:
                rate = await delivery.handle_each(transport, database, service, given["events"])
        except AssertionError as wrong:
            raise Unsound(str(wrong)) from wrong
        return {"rate": rate.a_second, "CPU": rate.cpu_us}

    try:
        spare_the_collector()
        await answers.loop(run)
    finally:
        await transport.aclose()
        await database.aclose()


if __name__ == "__main__":
    answering.serve(main)
