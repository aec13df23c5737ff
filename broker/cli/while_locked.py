"""
Ends the broker with its last user.

Users hold a shared flock on a file for as long as they live; the kernel takes it from them however they die. A thread
of the broker waits for the exclusive lock: when it gets it, nobody is left. The lock is then kept until the process
ends, so that a newcomer, who asks for a shared one first, waits for the end of the stop and finds a directory that
nobody serves.
"""

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path


def when_unlocked(path: Path, then: Callable[[], object]) -> None:
    """Calls *then*, in another thread, when no other process holds a lock on *path*. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def wait() -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        then()

    threading.Thread(target=wait, name="broker-while-locked", daemon=True).start()
