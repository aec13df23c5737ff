"""
What a static member inherits: whether its predecessor has left partitions to nobody.

A member that is killed between giving partitions up and joining again, which would hand them to others, leaves them to
nobody. Its successor, of the same name, is given the rest at once and unasked; no other member hears of it, and until
one comes or goes nobody reads those partitions. Apache Kafka does the same. So the successor asks for the whole
group's assignment, a moment after it has joined.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import Final, TypeAlias

from eventbus.errors import BrokerUnavailable
from eventbus.transport.port import TopicPartition

_log = logging.getLogger("eventbus.transport")

# Partitions that are on their way from one member to another are nobody's for a moment.
_PAUSE_SECONDS: Final = (1.0, 5.0)

LeftOver: TypeAlias = Callable[[str, Sequence[str]], Awaitable[frozenset[TopicPartition]]]
"""Given a group and topics, the partitions that no member has. Raises BrokerUnavailable."""


class Inheritance:
    """The question and its answer, of one client: it is asked on the loop for the member's thread."""

    def __init__(self, group_id: str, topics: Sequence[str], left_over: LeftOver) -> None:
        self._group_id = group_id
        self._topics = topics
        self._left_over = left_over
        self._asked: Future[None] | None = None
        self._found = threading.Event()

    @property
    def is_incomplete(self) -> bool:
        """Partitions were found to be nobody's."""
        return self._found.is_set()

    def ask(self, loop: asyncio.AbstractEventLoop) -> None:
        """At the first assignment; later ones are the whole group's work."""
        if self._asked is None:
            self._asked = asyncio.run_coroutine_threadsafe(self._look(), loop)

    def end(self) -> None:
        """It is not asked any more."""
        if self._asked is not None:
            self._asked.cancel()

    async def _look(self) -> None:
        pause, longest = _PAUSE_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)
            try:
                left_over = await self._left_over(self._group_id, self._topics)
            except BrokerUnavailable as error:
                _log.debug("consumer %s: whose partitions are is not known yet: %s", self._group_id, error)
                continue
            if left_over:
                _log.info("consumer %s: %d partitions are nobody's; joining anew", self._group_id, len(left_over))
                self._found.set()
            return
