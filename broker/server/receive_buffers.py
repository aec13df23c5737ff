"""
Memory that all connections receive into.

`shared`    where bytes arrive first; the requests in it are handled before the next read
take()      a buffer for one large frame. Fresh memory costs a page fault for every 4 KiB of it, which is as much as
            receiving the bytes; so a few buffers are kept, and whoever finds none makes memory of its own
Handlers keep nothing of a frame, so its memory is free again when its request was handled.
"""

READ_BUFFER_BYTES = 256 * 1024
FRAME_BUFFER_BYTES = 1 << 20
FRAME_BUFFERS_MAX = 3


class ReceiveBuffers:
    """One shared buffer, and at most FRAME_BUFFERS_MAX of FRAME_BUFFER_BYTES each, made when they are first needed."""

    __slots__ = ("_free", "_made", "shared")

    def __init__(self) -> None:
        self.shared = bytearray(READ_BUFFER_BYTES)
        self._free: list[bytearray] = []
        self._made = 0

    def take(self) -> bytearray | None:
        """A buffer for a frame, whatever is in it; None when all are in use."""
        if self._free:
            return self._free.pop()
        if self._made == FRAME_BUFFERS_MAX:
            return None
        self._made += 1
        return bytearray(FRAME_BUFFER_BYTES)

    def give_back(self, buffer: bytearray) -> None:
        """What `take` gave, when nobody looks at it any more."""
        self._free.append(buffer)
