"""
The program's side of a contestant in a process of its own. Nothing but the standard library is imported here: peers
run it in another environment.

    answering.serve(run)    prints {"ready": true}; for every line on standard input, one repetition and its line

A line of answer is {"figures": {…}}, {"unsound": "…"} or {"failed": "…"}. Whatever else is printed goes to standard
error, so that a chatty framework does not spoil the answers.
"""

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from benchmarks.case import Unsound

Run = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, float]]]


def given() -> dict[str, Any]:
    """What the program was started with: one JSON object as its only argument."""
    return dict(json.loads(sys.argv[1]))


def serve(work: Callable[["Answers"], Coroutine[object, object, None]]) -> None:
    """Runs *work*, which prepares, calls `answers.loop(run)` and cleans up."""
    answers = Answers()
    try:
        asyncio.run(work(answers))
    except Exception:
        answers.say({"failed": traceback.format_exc(limit=6)})
        raise SystemExit(1) from None


class Answers:
    """Standard output, kept for answers alone."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def say(self, answer: Mapping[str, object]) -> None:
        self._out.write(json.dumps(answer) + "\n")
        self._out.flush()

    async def loop(self, run: Run) -> None:
        """Answers until standard input ends."""
        self.say({"ready": True})
        while line := await asyncio.to_thread(sys.stdin.readline):
            try:
                self.say({"figures": dict(await run(json.loads(line)))})
            except Unsound as unsound:
                self.say({"unsound": str(unsound)})
            except Exception:
                self.say({"failed": traceback.format_exc(limit=6)})
