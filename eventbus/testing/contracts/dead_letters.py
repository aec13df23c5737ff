"""
What the store of dead letters promises, on any database.
"""

from datetime import UTC, datetime

import pytest

from eventbus.database import Database, DeadLetter, DeadLetters, LetterFilter


def letter(number: int, *, consumer: str = "service", handler: str | None = "handlers.pay") -> DeadLetter:
    """A letter that failed at second *number*."""
    return DeadLetter(
        consumer=consumer,
        handler=handler,
        topic="orders" if number % 2 else "payments",
        partition=1,
        offset=number,
        message_id=None if handler is None else f"event-{number}",
        type=None if handler is None else "Placed",
        key=b"\xff\x00",
        value=None if number == 0 else b"\x00\xfe not json",
        headers=(("ce_id", b"event"), ("raw", b"\xff\xfe"), ("null", None), ("ce_id", "é".encode())),
        error_class="builtins.ValueError",
        error_message="it's broken",
        error_stack="Traceback …",
        attempts=5,
        failed_at=datetime(2026, 1, 31, 12, 0, number, tzinfo=UTC),
    )


class DeadLettersContract:
    """Tests for an implementation: give `database` and, where it is not the framework's own, `dead_letters`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def dead_letters(self) -> DeadLetters:
        return DeadLetters()

    async def test_a_letter_is_kept_as_it_came(self, database: Database, dead_letters: DeadLetters) -> None:
        """Raw bytes of key, value and headers, missing ones too, come back unchanged."""
        letters = [letter(0), letter(1, handler=None)]
        async with database.transaction() as connection:
            await dead_letters.add(connection, letters)
            await dead_letters.add(connection, [])
        async with database.reading() as connection:
            for given in letters:
                assert await dead_letters.show(connection, given.id) == given
            assert await dead_letters.show(connection, "none") is None

    async def test_the_latest_are_listed_first(self, database: Database, dead_letters: DeadLetters) -> None:
        """Up to a limit, and only those that match every filter."""
        letters = [letter(number) for number in range(4)] + [letter(4, consumer="other"), letter(5, handler="h")]
        async with database.transaction() as connection:
            await dead_letters.add(connection, letters)

            every = await dead_letters.list(connection)
            of_consumer = await dead_letters.list(connection, LetterFilter(consumer="service"))
            filtered = await dead_letters.list(
                connection, LetterFilter(consumer="service", handler="handlers.pay", topic="orders")
            )
            limited = await dead_letters.list(connection, limit=2)
        assert [found.offset for found in every] == [5, 4, 3, 2, 1, 0]
        assert [found.offset for found in of_consumer] == [5, 3, 2, 1, 0]
        assert [found.offset for found in filtered] == [3, 1]
        assert [found.offset for found in limited] == [5, 4]

    async def test_letters_are_counted_by_consumer(self, database: Database, dead_letters: DeadLetters) -> None:
        """Consumers without any are missing."""
        async with database.transaction() as connection:
            assert await dead_letters.count(connection) == {}
            await dead_letters.add(connection, [letter(1), letter(2), letter(3, consumer="other")])
            assert await dead_letters.count(connection) == {"service": 2, "other": 1}
