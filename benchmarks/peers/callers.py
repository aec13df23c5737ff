"""Calls of some work by several callers at once for some seconds, counted alike for every peer."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable


async def rate(work: Callable[[], Awaitable[None]], callers: int, seconds: float) -> dict[str, float]:
    """Calls a second of an asynchronous *work*, and CPU of this process for each."""
    count = 0
    begun, cpu = time.perf_counter(), time.process_time()
    end = begun + seconds

    async def call() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await work()
            count += 1

    await asyncio.gather(*(call() for _ in range(callers)))
    passed = time.perf_counter() - begun
    return {"rate": count / passed, "CPU": (time.process_time() - cpu) / count * 1e6}


def rate_of_threads(work: Callable[[], None], callers: int, seconds: float) -> dict[str, float]:
    """The same of a synchronous one, by that many threads."""
    counts = [0] * callers
    failed: list[BaseException] = []
    begun, cpu = time.perf_counter(), time.process_time()
    end = begun + seconds

    def call(number: int) -> None:
        try:
            while time.perf_counter() < end:
                work()
                counts[number] += 1
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    passed, count = time.perf_counter() - begun, sum(counts)
    return {"rate": count / passed, "CPU": (time.process_time() - cpu) / count * 1e6}
