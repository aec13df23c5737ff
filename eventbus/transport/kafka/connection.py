"""
Whether the broker answers: said once when it does not, and once when it does again.

Every client reports its lost connections here (`suspect`). A probe then asks the broker itself; only when that gets
no answer is the broker away, so that a closed idle connection and a quick restart are not worth a line.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable

from confluent_kafka import KafkaError

from eventbus.errors import BrokerUnavailable
from eventbus.transport.kafka.options import AWAY, describe

_log = logging.getLogger("eventbus.transport")

_PROBE_PAUSE_SECONDS = 0.25
_REST_SECONDS = 1.0


class Connection:
    """The state of the way to one cluster, shared by all clients of a transport."""

    def __init__(self, address: str, probe: Callable[[], Awaitable[None]]) -> None:
        self._address = address
        self._probe = probe
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._suspected = threading.Event()
        self._away_since: float | None = None

    def start(self) -> None:
        """Takes the running loop as the one that probes."""
        self._loop = asyncio.get_running_loop()

    async def aclose(self) -> None:
        """Ends a probe that is under way."""
        self._loop = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def away_seconds(self) -> float | None:
        """How long the broker has been away; None when it answers, as far as is known."""
        return None if self._away_since is None else time.monotonic() - self._away_since

    def error(self, error: KafkaError) -> None:
        """The error callback of every client, called in its thread."""
        if error.code() in AWAY:
            self.suspect(describe(error))
        elif error.code() not in {KafkaError._PARTITION_EOF, KafkaError._FATAL}:
            _log.warning("broker %s: %s", self._address, describe(error))

    def suspect(self, reason: str) -> None:
        """Asks for a probe, from any thread; nothing happens while one is under way."""
        if self._suspected.is_set() or (loop := self._loop) is None:
            return
        self._suspected.set()
        try:
            loop.call_soon_threadsafe(self._begin, reason)
        except RuntimeError:
            # The loop has been closed: the service is at its end.
            return

    def _begin(self, reason: str) -> None:
        if self._loop is not None:
            self._task = self._loop.create_task(self._watch(reason), name="eventbus-broker-probe")

    async def _watch(self, reason: str) -> None:
        try:
            while True:
                try:
                    await self._probe()
                except BrokerUnavailable as error:
                    if self._away_since is None:
                        self._away_since = time.monotonic()
                        _log.warning("broker %s is away, waiting for it: %s; %s", self._address, reason, error)
                    await asyncio.sleep(_PROBE_PAUSE_SECONDS)
                else:
                    break
            if (away := self.away_seconds) is not None:
                self._away_since = None
                _log.info("broker %s is back after %.1f s", self._address, away)
            # Of a cluster with a dead node every attempt to reach that is reported: one probe a second answers them.
            await asyncio.sleep(_REST_SECONDS)
        finally:
            self._suspected.clear()
