"""
A process that uses a SQLite file beside others: `FILE write WRITER COUNT`, `FILE read ROWS`, `FILE write-pairs`.
"""

import itertools
import sys

import anyio
from sqlalchemy import text

from eventbus.database import Database

INSERT = text("INSERT INTO numbers VALUES (:writer, :number)")


async def main(path: str, what: str, *arguments: str) -> None:
    database = Database.from_url(f"sqlite:///{path}")
    match what, arguments:
        case "write", [writer, count]:
            for number in range(int(count)):
                async with database.transaction() as connection:
                    await connection.execute(INSERT, {"writer": int(writer), "number": number})
        case "read", [rows]:
            with anyio.fail_after(30):
                found = 0
                while found < int(rows):
                    async with database.reading() as connection:
                        found = await connection.scalar(text("SELECT count(*) FROM numbers")) or 0
        case "write-pairs", []:
            for number in itertools.count():
                async with database.transaction() as connection:
                    for writer in (1, 2):
                        await connection.execute(INSERT, {"writer": writer, "number": number})
                if number == 0:
                    sys.stdout.write("writing\n")
                    sys.stdout.flush()
        case _:
            raise SystemExit(f"unknown: {what} {arguments}")
    await database.aclose()


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
