"""
Threads for what may block: fsync and removing files. The loop's thread never waits for the disk's mechanics.

The work gets no access to the broker's state: it is a closed call on files that the loop's thread does not write, and
its outcome comes back to the loop's thread.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

LOG = logging.getLogger("broker.workers")

T = TypeVar("T")

WORKERS = 2


class Workers:
    """Implements the `Background` port of topics on a small thread pool; threads start with the first work."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="broker-worker")
        self._closed = False

    def run(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """Runs *work* in a thread, then *done* with its result or its exception on the loop's thread."""

        if self._closed:
            # A clean stop: logs are flushed as they close, and files that should go are found at the next start.
            return

        def guarded() -> T | Exception:
            try:
                return work()
            except Exception as error:
                LOG.exception("background work failed")
                return error

        def finished(future: "Future[T | Exception]") -> None:
            # Set before the pool's thread ends, so close() waits for it as well.
            self._loop.call_soon_threadsafe(done, future.result())

        self._pool.submit(guarded).add_done_callback(finished)

    def soon(self, work: Callable[[], None]) -> None:
        """Runs *work* on the loop's thread when everything that is ready now has been handled."""
        self._loop.call_soon(work)

    def close(self) -> None:
        """Waits for the work that has started; its outcomes come with the loop's next turn."""
        self._closed = True
        self._pool.shutdown(wait=True)
