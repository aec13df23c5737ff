"""Where transactions are written down: the port."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from broker.errors import ErrorCode
from broker.records import NewRecord, Record


class TransactionLog(Protocol):
    """One partition of __transaction_state: an ordinary partition log, in which the newest value of a key counts."""

    @property
    def start_offset(self) -> int:
        """The offset of the first record that is still there."""
        ...

    @property
    def end_offset(self) -> int:
        """The offset that the next record gets."""
        ...

    @property
    def coordinator_epoch(self) -> int:
        """The leader epoch of the partition, which the coordinator writes into its markers."""
        ...

    def append(self, records: Sequence[NewRecord], timestamp_ms: int) -> int:
        """Appends all of *records* as one batch, or none; the offset of the first. Raises KafkaError."""
        ...

    def replay(self) -> Iterator[Record]:
        """Every record from the start to the end, in order. Raises KafkaError."""
        ...

    def discard_before(self, offset: int) -> None:
        """Lets go of what lies before *offset*, whose live keys have all been appended again from there on."""
        ...

    def when_durable(self, told: Callable[[ErrorCode], None]) -> None:
        """
        Calls *told* once, now or later: NONE when everything that was appended survives a loss of power,
        KAFKA_STORAGE_ERROR when nobody can say.
        """
        ...
