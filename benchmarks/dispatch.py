"""
What the framework adds to the call of a handler that does nothing: no database, no log, no other task.

    python -m benchmarks.dispatch [--json]

Each way is run in turns, and the best turn counts: the others measure the machine's other work.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from eventbus import Application, Command, Message, Metadata, Next, Query, handles

TURNS: Final = 15
CALLS: Final = 4_000


class Nothing(Query[int]):
    pass


class NothingToDo(Command):
    pass


class Named(Query[str]):
    pass


@handles(Nothing)
async def answer_nothing(query: Nothing) -> int:
    return 1


@handles(NothingToDo)
async def do_nothing(command: NothingToDo) -> None:
    return None


@handles(Named)
async def answer_name(query: Named, metadata: Metadata) -> str:
    return metadata.id


async def around(message: Message, call_next: Next) -> object:
    return await call_next()


async def microseconds(call: Callable[[], Awaitable[object]]) -> float:
    """Of one call, in a turn of many."""
    # Of the processor, not of the clock on the wall: nothing here waits, and others use the machine.
    begun = time.process_time()
    for _ in range(CALLS):
        await call()
    return (time.process_time() - begun) / CALLS * 1e6


def ways() -> dict[str, Callable[[], Awaitable[object]]]:
    """What is called, by its name."""
    modules = [sys.modules[__name__]]
    unused = Path("/nonexistent")
    plain, wrapped = (
        Application(
            "dispatch",
            modules=modules,
            middleware=middleware,
            broker_url=f"embedded:{unused}",
            database_url=f"sqlite:///{unused}/never-opened.sqlite3",
        ).buses
        for middleware in ((), (around,))
    )
    query, named, command = Nothing(), Named(), NothingToDo()
    return {
        "await handler(query)": lambda: answer_nothing(query),
        "queries.ask(query)": lambda: plain.queries.ask(query),
        "queries.ask(query), handler takes Metadata": lambda: plain.queries.ask(named),
        "queries.ask(query), one middleware": lambda: wrapped.queries.ask(query),
        "await handler(command)": lambda: do_nothing(command),
        "commands.send(command)": lambda: plain.commands.send(command),
    }


async def measured() -> dict[str, float]:
    """Microseconds by way."""
    found = ways()
    turns: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(TURNS):
        for name, way in found.items():
            turns[name].append(await microseconds(way))
    return {name: min(times) for name, times in turns.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Microseconds that the framework adds to a handler that does nothing.")
    parser.add_argument("--json", action="store_true", help="write JSON, for programs")
    arguments = parser.parse_args()
    found = asyncio.run(measured())
    bare = found["await handler(query)"]
    if arguments.json:
        print(json.dumps({name: round(value, 3) for name, value in found.items()}))
        return
    for name, value in found.items():
        print(f"{name:46} {value:6.2f} µs   beyond the handler {value - bare:6.2f} µs")


if __name__ == "__main__":
    main()
