"""The process as the system sees it. Names and units as Prometheus' own clients have them."""

import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

_PAGE_BYTES = resource.getpagesize()
_STATM = Path("/proc/self/statm")
_DESCRIPTORS = Path("/proc/self/fd")


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """Seconds of all cores, bytes of resident memory, open descriptors and how many there may be; None: not told."""

    cpu_seconds: float
    resident_bytes: int
    descriptors: int | None
    descriptors_max: int


def process_use() -> ProcessUse:
    times = os.times()
    return ProcessUse(
        times.user + times.system,
        _resident_bytes(),
        _descriptors(),
        resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


def _resident_bytes() -> int:
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    except OSError:
        # Without /proc: the most that it ever was, in bytes on macOS and KiB elsewhere.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _descriptors() -> int | None:
    try:
        return len(os.listdir(_DESCRIPTORS))  # noqa: PTH208  # iterdir() makes a path of each
    except OSError:
        return None
