"""A partition that is claimed for a service's event handlers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from eventbus.database import Checkpoint, LogPartition
from eventbus.errors import CheckpointFenced, DatabaseUnavailable, ForeignLog

NOT_FAILURES: Final = (DatabaseUnavailable, CheckpointFenced, ForeignLog)
"""What no handler can help: the consumer waits for the database, claims again, or stops. No attempt is used up."""


@dataclass(slots=True)
class EventClaim:
    """
    A partition claimed for the service's handlers.

    first_offsets   where each handler's part of it begins
    may_be_parked   whether keys of its topic can be parked. Only who owns a partition parks its keys: when none were at
                    the claim, and none were parked by it since, nobody has to ask the database
    parkings        how often keys were parked under this claim
    """

    checkpoint: Checkpoint
    next_offset: int
    first_offsets: Mapping[str, int]
    may_be_parked: bool
    parkings: int = 0

    @property
    def log(self) -> LogPartition:
        return self.checkpoint.log

    def move(self, checkpoint: Checkpoint, next_offset: int) -> None:
        self.checkpoint = checkpoint
        self.next_offset = next_offset

    def parked(self) -> None:
        """A key was parked, and that is committed."""
        self.may_be_parked = True
        self.parkings += 1
