"""A signal that stays until it is seen: many calls wake a task once."""

import anyio


class Wakeup:
    """Set from the event loop's own thread; one task waits for it."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        """Wakes the waiting task, or lets the next wait return at once."""
        self._event.set()

    @property
    def is_set(self) -> bool:
        """Whether the next wait would return at once."""
        return self._event.is_set()

    async def wait(self, seconds: float | None = None) -> bool:
        """Waits for a `set` since the last wait, *seconds* at most; False when the time was up."""
        with anyio.move_on_after(seconds):
            await self._event.wait()
        seen = self._event.is_set()
        if seen:
            self._event = anyio.Event()
        return seen
