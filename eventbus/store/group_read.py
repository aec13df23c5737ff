"""
Reads that are asked for at the same time are done together.

A read of a few rows costs less than the way to the database and back, so that is gone once for all who wait. Two groups
may be on their way at a time: behind a slow one, others go by the other.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from eventbus.database import Database, Direct
from eventbus.store.failures import for_each

Question = TypeVar("Question")
Answer = TypeVar("Answer")

_GROUP_MAX: Final = 100
_GROUPS_MAX: Final = 2


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Question, Answer]):
    question: Question
    found: "asyncio.Future[Answer]"


class GroupRead(Generic[Question, Answer]):
    """
    One kind of read of a database; any number of tasks may ask at the same time.

    reading   the work that answers many questions, in their order
    """

    def __init__(self, database: Database, reading: Callable[[Sequence[Question]], Direct[Sequence[Answer]]]) -> None:
        self._database = database
        self._reading = reading
        self._waiting: deque[_Waiting[Question, Answer]] = deque()
        # The loop itself holds its tasks weakly.
        self._tasks: set[asyncio.Task[None]] = set()
        self._readers = 0

    async def ask(self, question: Question) -> Answer:
        """The answer, from what is committed. Raises DatabaseUnavailable."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting[Question, Answer](question, loop.create_future())
        self._waiting.append(waiting)
        if self._readers < _GROUPS_MAX:
            # Of nobody's task group: who is cancelled must not take the others' answers away.
            # Counted here and not by its callback, which is late: callers that it has woken come back before.
            self._readers += 1
            task = loop.create_task(self._read_waiting())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await waiting.found

    async def _read_waiting(self) -> None:
        try:
            while self._waiting:
                group = [self._waiting.popleft() for _ in range(min(len(self._waiting), _GROUP_MAX))]
                group = [waiting for waiting in group if not waiting.found.done()]
                if group:
                    await self._read(group)
        finally:
            self._readers -= 1

    async def _read(self, group: Sequence[_Waiting[Question, Answer]]) -> None:
        try:
            answers = await self._database.read(self._reading([waiting.question for waiting in group]))
        except BaseException as error:
            for waiting, own in zip(group, for_each(error, len(group)), strict=True):
                if not waiting.found.done():
                    waiting.found.set_exception(own)
            if not isinstance(error, Exception):
                raise
        else:
            for waiting, answer in zip(group, answers, strict=True):
                if not waiting.found.done():
                    waiting.found.set_result(answer)
