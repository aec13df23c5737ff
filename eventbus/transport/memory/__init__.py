"""A log in the memory of one process, behind the same port as a cluster: for tests that want to be quick."""

from eventbus.transport.memory.log import MemoryLog
from eventbus.transport.memory.transport import MemoryTransport

__all__ = ["MemoryLog", "MemoryTransport"]
