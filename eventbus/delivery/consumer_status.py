"""What a consumer says of itself."""

from dataclasses import dataclass
from typing import Literal

State = Literal["starting", "running", "waiting for the broker", "waiting for the database", "stopped"]


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """How far a consumer has come in a partition, and how many records are read ahead."""

    topic: str
    partition: int
    next_offset: int
    waiting: int


@dataclass(frozen=True, slots=True)
class ConsumerStatus:
    """What a consumer is doing. `reason` says why it waits or has stopped."""

    name: str
    group_id: str
    state: State
    reason: str | None
    partitions: tuple[PartitionStatus, ...]
