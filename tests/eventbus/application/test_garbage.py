"""What the garbage collector is spared when a service starts."""

import subprocess
import sys

_SCRIPT = """
import asyncio, gc
from eventbus import Application

def frozen(app):
    async def run():
        async with app.lifespan():
            return gc.get_freeze_count()
    return asyncio.run(run())

assert gc.get_freeze_count() == 0
first = frozen(Application("one", modules=[], broker_url="memory:", database_url="memory:"))
kept = [[number] for number in range(100_000)]
second = frozen(Application("two", modules=[], broker_url="memory:", database_url="memory:"))
print(first, second)
"""


def test_what_is_there_at_the_first_start_is_not_walked_through_again() -> None:
    """What comes later is, also at the start of another service."""
    ran = subprocess.run([sys.executable, "-c", _SCRIPT], check=True, capture_output=True, text=True, timeout=120)
    first, second = map(int, ran.stdout.split())
    assert first > 50_000
    assert second <= first
