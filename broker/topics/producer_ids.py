"""
Producer ids: never given out twice, also not after a crash.

Ids are reserved in blocks in the metadata log, one fsync a block; a restart forgets the rest of its block.
"""

from broker.topics.metadata_log import MetadataLog
from broker.topics.metadata_records import ProducerIdsReserved

BLOCK = 1_000


class ProducerIds:
    """Hands out producer ids."""

    def __init__(self, log: MetadataLog, first: int) -> None:
        self._log = log
        self._next: int = first
        self._reserved: int = first

    def allocate(self) -> int:
        """A producer id that nobody has had. Raises StorageError when the block cannot be written down."""
        if self._next == self._reserved:
            self._log.append([ProducerIdsReserved(self._next + BLOCK)])
            self._reserved = self._next + BLOCK
        producer_id = self._next
        self._next += 1
        return producer_id

    def was_given(self, producer_id: int) -> bool:
        """Whether *producer_id* may have been given out, now or before a restart."""
        return 0 <= producer_id < self._next
