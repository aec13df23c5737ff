"""What a read gives: a place in a file, never bytes."""

from broker.storage.files import OpenFile


class LogSlice:
    """
    Whole batches in a .log file: *size* bytes from byte *position* of *file*.

    It holds its file open, so that the segment may be deleted and the slice still be sent: call release() when it was.
    """

    __slots__ = ("_held", "file", "position", "size")

    def __init__(self, file: OpenFile, position: int, size: int) -> None:
        file.retain()
        self.file = file
        self.position = position
        self.size = size
        self._held = True

    def fileno(self) -> int:
        """The descriptor, for sendfile; valid until release()."""
        return self.file.fileno()

    def read(self) -> bytes:
        """The bytes themselves, for who cannot send a file (TLS, replay)."""
        return self.file.read_at(self.position, self.size)

    def release(self) -> None:
        """Lets go of the file; a second call does nothing."""
        if self._held:
            self._held = False
            self.file.release()
