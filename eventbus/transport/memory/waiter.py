"""Waiting in one event loop for what another one, or another thread, has done to the log."""

import asyncio


class Waiter:
    """One client's place to wait; to be made on its event loop. What was woken before it waits does not wait."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    @property
    def is_dead(self) -> bool:
        """Whether the loop is closed: nobody waits here ever again."""
        return self._loop.is_closed()

    def wake(self) -> None:
        """Callable from any thread."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            self._event.set()
            return
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:
            # The loop was closed a moment ago.
            return

    async def wait(self, seconds: float | None = None) -> None:
        """Returns when it was woken, or after *seconds*."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return
        self._event.clear()
