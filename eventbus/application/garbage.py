"""
What is there when a service starts is not looked at again by the garbage collector.

Whatever lives until its batch is done, some twenty objects an event, is what the collector takes for a reason to look
at everything: its walks through what imports have left made reading an event twice as dear.
"""

import gc
from threading import Lock

_first = Lock()


def spare_the_collector() -> None:
    """Once a process: at a later start it would keep for good what an earlier service has left behind."""
    # Never released: whoever comes second finds it taken.
    if _first.acquire(blocking=False):
        gc.collect(1)
        gc.freeze()
