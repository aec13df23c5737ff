"""What becomes of events that keep failing, in a whole application."""

from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime

import anyio
import pytest

from eventbus import Application
from eventbus.database import DeadLetter, DeadLetters, LetterFilter, LetterRetries
from eventbus.transport import IncomingRecord, TopicPartition
from eventbus.transport.memory import MemoryLog, MemoryTransport
from tests.eventbus.application import ledger
from tests.eventbus.application.ledger import Booked, Closed, Moved, refused, taken

pytestmark = pytest.mark.anyio


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
async def app(log: MemoryLog) -> AsyncGenerator[Application]:
    refused.clear()
    taken.clear()
    app = Application(
        "ledger", modules=[ledger], transport=lambda: MemoryTransport(log), database_url="memory:", partitions=2
    )
    async with app.lifespan():
        yield app


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not condition():
            await anyio.sleep(0.01)


async def letters(app: Application, count: int) -> list[DeadLetter]:
    """The dead letters, once there are so many."""
    with anyio.fail_after(60):
        while True:
            async with app.database.reading() as connection:
                found = await DeadLetters().list(connection)
            if len(found) == count:
                return found
            await anyio.sleep(0.01)


async def test_a_parked_key_is_seen_in_the_status_and_goes_on_after_a_retry(app: Application) -> None:
    """The running service handles what somebody asks for, and what waits behind it, in order."""
    refused.add("b-1")
    for account, entry in (("a", "a-1"), ("b", "b-1"), ("b", "b-2"), ("a", "a-2"), ("b", "b-3")):
        await app.publish(Booked(account=account, entry=entry))
    await until(lambda: ("book", "a-2", 1) in taken)
    with anyio.fail_after(60):
        while (parked := (await app.status())["parked"]) is None or parked["events"] < 2:
            await anyio.sleep(0.01)
    assert (parked["keys"], parked["events"]) == (1, 2)
    assert parked["oldest_age_seconds"] > 0
    refused.clear()
    async with app.database.transaction() as connection:
        await LetterRetries().request(
            connection, await DeadLetters().ids(connection, LetterFilter()), datetime.now(UTC)
        )
    await until(lambda: ("book", "b-3", 1) in taken)
    assert [one for one in taken if one[1].startswith("b")] == [
        ("book", "b-1", 1),
        ("book", "b-1", 2),
        ("book", "b-2", 1),
        ("book", "b-3", 1),
    ]
    with anyio.fail_after(60):
        while (await app.status())["parked"] != {"keys": 0, "events": 0, "oldest_age_seconds": 0.0}:
            await anyio.sleep(0.01)
    await letters(app, 0)


async def test_an_event_is_tried_again_after_each_delay_and_nothing_waits_for_it(app: Application) -> None:
    """From topics of their own; a later event of its key is handled at once, and the last delay ends in a success."""
    assert app.topics.keys() >= {"ledger.retry.50ms", "ledger.retry.100ms"}
    refused.add("m-1")
    await app.publish(Moved(account="a", entry="m-1"))
    await app.publish(Moved(account="a", entry="m-2"))
    await until(lambda: ("move", "m-1", 2) in taken)
    refused.clear()
    await until(lambda: ("move", "m-1", 3) in taken)
    assert [one for one in taken if one[1] == "m-2"] == [("move", "m-2", 1)]
    assert taken.index(("move", "m-2", 1)) < taken.index(("move", "m-1", 2))
    assert await letters(app, 0) == []


async def test_after_the_last_delay_an_event_is_a_dead_letter_as_it_came(app: Application) -> None:
    """With the place that it had first, and all attempts counted; it parks nothing, and can be retried."""
    refused.add("m-1")
    await app.publish(Moved(account="a", entry="m-1"))
    (letter,) = await letters(app, 1)
    assert (letter.topic, letter.offset, letter.key, letter.attempts) == ("moves", 0, b"a", 3)
    assert letter.handler == f"{ledger.__name__}.move"
    assert "eventbus_retry" not in dict(letter.headers)
    assert dict(letter.headers)["ce_type"] == b"Moved"
    assert letter.error_message == "m-1 is refused"
    await app.publish(Moved(account="a", entry="m-2"))
    await until(lambda: ("move", "m-2", 1) in taken)


async def test_a_dead_letter_has_a_copy_in_the_topic_that_its_handler_names(log: MemoryLog, app: Application) -> None:
    """Under the same key and value, with the headers that Kafka Connect gives its dead letters."""
    refused.add("c-1")
    await app.publish(Closed(account="a", entry="c-1"))
    (letter,) = await letters(app, 1)
    copy = await first_record(log, "ledger.dead")
    assert (copy.key, copy.value) == (letter.key, letter.value)
    headers = dict(copy.headers)
    assert headers["ce_type"] == b"Closed"
    assert headers["__connect.errors.topic"] == b"closings"
    assert headers["__connect.errors.offset"] == b"0"
    assert headers["__connect.errors.exception.class.name"] == b"builtins.RuntimeError"
    assert headers["__connect.errors.exception.message"] == b"c-1 is refused"
    assert b"in take" in (headers["__connect.errors.exception.stacktrace"] or b"")


async def first_record(log: MemoryLog, topic: str) -> IncomingRecord:
    """The first record that comes to one of the topic's partitions."""
    transport = MemoryTransport(log)
    await transport.start()
    reader = transport.reader({TopicPartition(topic, number): 0 for number in range(2)})
    with anyio.fail_after(60):
        while True:
            for batch in await reader.read():
                for record in batch.records:
                    await reader.aclose()
                    await transport.aclose()
                    return record
