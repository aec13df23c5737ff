import sqlite3

import pytest

from eventbus.database.sqlite_rows import SqliteRows


@pytest.mark.parametrize("count", [0, 1, 9, 10, 101, 256])
def test_rows_of_any_number_arrive_in_their_order(count: int) -> None:
    """Whatever is left behind the last hundred."""
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE numbers (number INTEGER, text TEXT)")
        rows = [(number, f"text {number}") for number in range(count)]
        SqliteRows("INSERT INTO numbers (number, text)", 2, "").insert(database, rows)
        assert database.execute("SELECT number, text FROM numbers ORDER BY rowid").fetchall() == rows
    database.close()


def test_a_row_that_is_there_twice_ends_as_the_later_one() -> None:
    """In one statement as in two."""
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY, text TEXT)")
        ending = "ON CONFLICT (number) DO UPDATE SET text = excluded.text"
        insert = SqliteRows("INSERT INTO numbers (number, text)", 2, ending)
        insert.insert(database, [(number % 60, str(number)) for number in range(150)])
        found = dict(database.execute("SELECT number, text FROM numbers").fetchall())
        assert found == {number: str(number + (120 if number < 30 else 60)) for number in range(60)}
    database.close()


def test_rows_of_many_columns_meet_no_limit() -> None:
    """SQLite takes 32,766 parameters a statement, and 2,000 columns a table."""
    with sqlite3.connect(":memory:") as database:
        names = [f"c{number}" for number in range(1000)]
        database.execute(f"CREATE TABLE wide ({', '.join(names)})")
        rows = [tuple(range(at, at + 1000)) for at in range(105)]
        SqliteRows(f"INSERT INTO wide ({', '.join(names)})", 1000, "").insert(database, rows)
        assert database.execute("SELECT * FROM wide ORDER BY rowid").fetchall() == rows
    database.close()
