"""What a consumer says of itself: its condition as it changes, and its status when somebody asks."""

import logging
from dataclasses import dataclass
from typing import Literal

from eventbus.errors import DatabaseUnavailable

_log = logging.getLogger("eventbus.delivery")

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


class Condition:
    """The condition that the consumer *name* is in; what changes is said once in its log."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.state: State = "starting"
        self.reason: str | None = None

    def waits_for_database(self, error: DatabaseUnavailable) -> None:
        """Until it is back."""
        if self.state != "waiting for the database":
            _log.warning("consumer %s: the database is away, waiting for it: %s", self._name, error)
        self.state, self.reason = "waiting for the database", str(error)

    def cannot_claim(self, error: Exception) -> None:
        """It tries again."""
        reason = f"{type(error).__name__}: {error}"
        if self.reason != reason:
            _log.error("consumer %s cannot claim its partitions, trying again: %s", self._name, reason)
        self.state, self.reason = "starting", reason

    def runs(self) -> None:
        """Nothing is missing."""
        if self.state == "waiting for the database":
            _log.info("consumer %s: the database is back", self._name)
        self.state, self.reason = "running", None

    def ends(self, reason: str) -> None:
        """It cannot go on."""
        _log.error("consumer %s has stopped: %s", self._name, reason)
        self.state, self.reason = "stopped", reason
