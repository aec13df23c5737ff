import asyncio
import threading
import time

import pytest

from eventbus.transport.thread import CallThread

pytestmark = pytest.mark.anyio


async def test_calls_run_one_after_the_other_in_one_thread() -> None:
    """In the order in which they were submitted, off the event loop's thread."""
    thread = CallThread("eventbus-test")
    names = await asyncio.gather(*(thread.submit(lambda: threading.current_thread().name) for _ in range(5)))
    assert names == ["eventbus-test"] * 5
    assert await thread.aclose()


async def test_what_a_call_raises_is_raised_where_it_is_awaited() -> None:
    """And the thread goes on."""

    def fail() -> int:
        raise ValueError("no")

    thread = CallThread("eventbus-test")
    with pytest.raises(ValueError, match="no"):
        await thread.submit(fail)
    assert await thread.submit(lambda: 1) == 1
    assert await thread.aclose()


async def test_a_call_that_hangs_does_not_hold_the_close_for_ever() -> None:
    """Closing says that the thread has not ended; being a daemon it does not keep the process either."""
    thread = CallThread("eventbus-hanging")
    release = threading.Event()
    call = thread.submit(release.wait)
    began = time.monotonic()
    assert not await thread.aclose(seconds=0.1)
    assert time.monotonic() - began < 20.0
    release.set()
    assert await call
    with pytest.raises(RuntimeError, match="closed"):
        thread.submit(release.wait)


async def test_a_thread_that_was_never_used_closes() -> None:
    """Nothing was started."""
    assert await CallThread("eventbus-test").aclose()
