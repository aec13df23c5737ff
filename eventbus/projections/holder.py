"""
Who holds the lease on a build: `host:pid:random`, so that on the same host a holder that has died is known at once.
"""

import os
import socket


def new_holder() -> str:
    """A name for this process, of one rebuild."""
    return f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"


def has_ended(holder: str) -> bool:
    """Whether the process is certainly gone; False for one of another host, or when a later process has its number."""
    host, _, rest = holder.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdecimal():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
