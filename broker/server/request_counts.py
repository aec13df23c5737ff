"""
How many requests, and how long they took: plain integers that the dispatcher counts, read at the scrape.

A request's time is from the moment its frame is whole to the moment its answer is: what a fetch waits for data, and a
produce for the disk, is in it.
"""

from bisect import bisect_left

from broker.wire.apis import APIS

BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class ApiCounts:
    """One API: answered requests by their time, and those that closed their connection instead."""

    __slots__ = ("buckets", "failed", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS_S) + 1)
        self.seconds = 0.0
        self.failed = 0

    def answered(self, seconds: float) -> None:
        self.buckets[bisect_left(BOUNDS_S, seconds)] += 1
        self.seconds += seconds


class RequestCounts:
    """Of all APIs, and of what was no request of any."""

    def __init__(self) -> None:
        self.by_api = {key: ApiCounts() for key in APIS}
        self.unreadable = 0
        """Frames that were no request; each closed its connection."""
