"""The end of a process that need not be a child, as a file descriptor that becomes readable."""

import os
import select
import sys
from collections.abc import Callable
from functools import partial


class ProcessEnd:
    """
    `descriptor` can be read from once the process has ended. Raises ProcessLookupError when it has ended already.

    On Linux a pidfd, on macOS and BSD a kqueue: both mean the process, not whoever gets its number later.
    """

    __slots__ = ("_close", "descriptor")

    def __init__(self, pid: int) -> None:
        self._close: Callable[[], None]
        if sys.platform == "linux":
            self.descriptor = os.pidfd_open(pid)
            self._close = partial(os.close, self.descriptor)
        else:
            queue = select.kqueue()
            event = select.kevent(
                pid,
                filter=select.KQ_FILTER_PROC,
                flags=select.KQ_EV_ADD | select.KQ_EV_ONESHOT,
                fflags=select.KQ_NOTE_EXIT,
            )
            try:
                queue.control([event], 0)
            except OSError:
                queue.close()
                raise
            self.descriptor = queue.fileno()
            self._close = queue.close

    def close(self) -> None:
        """Lets the descriptor go."""
        self._close()
