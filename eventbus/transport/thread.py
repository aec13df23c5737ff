"""One thread that runs blocking calls for the event loop, one after the other."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import TypeVar

_T = TypeVar("_T")


class CallThread:
    """
    A daemon thread with a queue of calls, each answered by one wake-up of the loop that asked.

    Used instead of an executor because a call that hangs in a client library must not keep the process alive, and
    because such clients want to be used and closed by one thread.

    idle    called in the thread every *idle_seconds* without a call: a client may have something to say by itself
    """

    def __init__(self, name: str, idle: Callable[[], None] | None = None, idle_seconds: float = 1.0) -> None:
        self._idle = idle
        self._idle_seconds = None if idle is None else idle_seconds
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._started = False
        self._closed = False

    def submit(self, call: Callable[[], _T]) -> asyncio.Future[_T]:
        """Runs *call* in the thread; the future is the running loop's. Cancelling it does not stop the call."""
        if self._closed:
            raise RuntimeError(f"{self._thread.name} is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()

        def answer(result: _T) -> None:
            if not future.done():
                future.set_result(result)

        def fail(error: BaseException) -> None:
            if not future.done():
                future.set_exception(error)

        def work() -> None:
            try:
                result = call()
            except BaseException as error:
                _hand_over(loop, fail, error)
            else:
                _hand_over(loop, answer, result)

        if not self._started:
            self._started = True
            self._thread.start()
        self._calls.put(work)
        return future

    async def aclose(self, seconds: float = 10.0) -> bool:
        """Ends the thread after the calls that are queued; False when it has not ended in time (it is a daemon)."""
        if not self._closed:
            self._closed = True
            self._calls.put(None)
        if not self._started:
            return True
        return await ended([self._thread], seconds)

    def _run(self) -> None:
        while True:
            try:
                call = self._calls.get(timeout=self._idle_seconds)
            except Empty:
                if self._idle is not None:
                    self._idle()
                continue
            if call is None:
                return
            call()


async def ended(threads: Iterable[threading.Thread], seconds: float) -> bool:
    """Waits until the threads have ended; False when one still runs after *seconds*."""
    for pause in _pauses(seconds):
        if not any(thread.is_alive() for thread in threads):
            return True
        # A thread's end has no callback: looking again soon is all there is.
        await asyncio.sleep(pause)
    return not any(thread.is_alive() for thread in threads)


def _pauses(seconds: float) -> Iterator[float]:
    until = time.monotonic() + seconds
    pause = 0.001
    while time.monotonic() < until:
        yield pause
        pause = min(pause * 1.5, 0.05)


def _hand_over(loop: asyncio.AbstractEventLoop, callback: Callable[[_T], None], value: _T) -> None:
    try:
        loop.call_soon_threadsafe(callback, value)
    except RuntimeError:
        # The loop was closed while the call ran: nobody waits for the answer any more.
        return
