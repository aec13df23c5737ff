"""
What parking promises, on any database: a key's events wait in order, and the key is free when nothing waits there.
"""

from datetime import UTC, datetime

import pytest

from eventbus.database import Database, DeadLetters, Failure, LetterRetries, ParkedEvent, ParkedKey, Parking
from eventbus.testing.contracts.dead_letters import letter

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
KEY = ParkedKey("service", "payments", b"\xff\x00", "handlers.pay")
OTHER = ParkedKey("service", "payments", b"\xff\x00", "handlers.other")


def event(offset: int, key: ParkedKey = KEY) -> ParkedEvent:
    """An event of *key* with that offset."""
    return ParkedEvent(key, 1, offset, f"m-{offset}", "Paid", b"\x00\xfe", (("raw", b"\xff"), ("null", None)), 5, NOW)


class ParkingContract:
    """Tests for an implementation: give `database`."""

    pytestmark = pytest.mark.anyio

    async def test_a_key_is_parked_for_one_handler_until_nothing_waits(self, database: Database) -> None:
        """Its events come back as they came, in order; the key is freed only when the last of them is taken away."""
        parking = Parking()
        async with database.transaction() as connection:
            assert not await parking.is_any(connection, "service", "payments")
            await parking.park(connection, KEY, "letter-1", NOW)
            await parking.add(connection, [event(1), event(2)])
            await parking.add(connection, [event(3)])
        async with database.transaction() as connection:
            assert await parking.is_any(connection, "service", "payments")
            assert not await parking.is_any(connection, "service", "orders")
            found = await parking.among(connection, "service", "payments", [KEY.key, b"free"])
            assert found == {("handlers.pay", KEY.key)}
            assert not await parking.hold(connection, KEY), "it waits behind its letter"
            await parking.release(connection, ["letter-1"])
            assert await parking.draining(connection, "service", ["handlers.pay"], 10) == [KEY]
            assert await parking.hold(connection, KEY)
            waiting = await parking.waiting(connection, KEY, 2)
            assert [(one.offset, one.value, one.headers) for one in waiting] == [
                (offset, b"\x00\xfe", (("raw", b"\xff"), ("null", None))) for offset in (1, 2)
            ]
            await parking.remove(connection, [one.sequence for one in waiting])
            assert not await parking.free(connection, KEY)
            status = await parking.status(connection, "service")
            assert (status.keys, status.events) == (1, 1)
            (last,) = await parking.waiting(connection, KEY, 10)
            await parking.remove(connection, [last.sequence])
            assert await parking.free(connection, KEY)
            assert not await parking.is_any(connection, "service", "payments")

    async def test_a_letter_that_is_no_more_frees_the_key_behind_which_nothing_waits(self, database: Database) -> None:
        """Each of a key's handlers for itself."""
        parking = Parking()
        async with database.transaction() as connection:
            await parking.park(connection, KEY, "letter-1", NOW)
            await parking.park(connection, OTHER, "letter-2", NOW)
            await LetterRetries().remove(connection, ["letter-1"])
            assert await parking.among(connection, "service", "payments", [KEY.key]) == {("handlers.other", KEY.key)}

    async def test_a_letter_is_due_when_somebody_asks_and_not_any_more_when_it_has_failed(
        self, database: Database
    ) -> None:
        """Its attempts are counted; an answer to an older request is not taken for one to a newer."""
        retries, dead = LetterRetries(), letter(1)
        later = datetime(2026, 2, 1, tzinfo=UTC)
        failure = Failure("builtins.KeyError", "again", "Traceback …", later, None)
        async with database.transaction() as connection:
            await DeadLetters().add(connection, [dead])
            assert await retries.due(connection, "service", ["handlers.pay"], later, 10) == []
            assert await retries.request(connection, [dead.id, "nobody"], NOW) == 1
            assert await retries.due(connection, "service", ["handlers.pay"], later, 10) == [dead.id]
            assert await retries.due(connection, "service", ["handlers.other"], later, 10) == []
            held = await retries.hold(connection, dead.id, later)
            assert held is not None
            await retries.request(connection, [dead.id], later)
            assert not await retries.failed(connection, held, failure)
            held = await retries.hold(connection, dead.id, later)
            assert held is not None
            assert await retries.failed(connection, held, failure)
            assert await retries.hold(connection, dead.id, later) is None
            shown = await DeadLetters().show(connection, dead.id)
        assert shown is not None
        assert (shown.attempts, shown.tries, shown.error_message, shown.retry_at) == (6, 1, "again", None)
