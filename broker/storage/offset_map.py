"""
The newest offset of every key that a compaction has read, in bounded memory.

A key is represented by a 16-byte hash (BLAKE2b): nobody finds two keys with the same one, and a key of a megabyte takes
no more room than one of a byte. When the map is full the pass ends at the record that did not fit; the next begins
there.

Source      Kafka's SkimpyOffsetMap, which packs 24 bytes an entry and trusts in MD5
"""

from hashlib import blake2b

_HASH_BYTES = 16
_ENTRY_BYTES = 200
"""What CPython takes for an entry: the hash, the number, and their part of a dict that has just grown."""


class OffsetMap:
    """Takes *bytes_max* of memory, or what one entry takes."""

    __slots__ = ("_entries_max", "_newest")

    def __init__(self, bytes_max: int) -> None:
        self._entries_max = max(bytes_max // _ENTRY_BYTES, 1)
        self._newest: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._newest)

    def put(self, key: bytes, offset: int) -> bool:
        """Notes that *key* has a record at *offset*, behind all that were noted; False when there is no room."""
        digest = blake2b(key, digest_size=_HASH_BYTES).digest()
        if len(self._newest) >= self._entries_max and digest not in self._newest:
            return False
        self._newest[digest] = offset
        return True

    def newest(self, key: bytes) -> int:
        """The offset of the key's newest record; -1 when none was noted."""
        return self._newest.get(blake2b(key, digest_size=_HASH_BYTES).digest(), -1)
