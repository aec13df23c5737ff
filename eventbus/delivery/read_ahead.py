"""How far a consumer reads ahead of its handlers: the bound of what it keeps in memory."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from eventbus.delivery.partition_queue import PartitionQueue

READ_AHEAD_RECORDS: Final = 4000
READ_AHEAD_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """
    Reading pauses at either; one round more may be on its way then.

    records_max   that wait, in all queues
    bytes_max     of their keys, values and headers
    """

    records_max: int = READ_AHEAD_RECORDS
    bytes_max: int = READ_AHEAD_BYTES

    def is_full(self, queues: Iterable[PartitionQueue]) -> bool:
        """Whether nothing more is to be read now."""
        records = size = 0
        for queue in queues:
            records += len(queue.waiting)
            size += queue.waiting_bytes
        return records >= self.records_max or size >= self.bytes_max
