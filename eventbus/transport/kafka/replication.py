"""
How many copies a topic has, where nobody has said it.

A cluster with three brokers or more keeps three, of which two have to have a record before it is acknowledged
(`acks=all`): one broker may die, and everything goes on. A smaller one keeps what it keeps by default.
"""

from dataclasses import dataclass, field
from typing import Final

REPLICAS: Final = 3
IN_SYNC: Final = "2"
MIN_IN_SYNC: Final = "min.insync.replicas"


@dataclass(frozen=True, slots=True)
class Replication:
    """*replicas* None: as many as the cluster gives by default."""

    replicas: int | None
    configs: dict[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def on(cls, brokers: int, wanted: int | None = None) -> "Replication":
        """For a topic on a cluster of so many brokers; *wanted*: what was configured."""
        if wanted is None and brokers < REPLICAS:
            return cls(None)
        replicas = REPLICAS if wanted is None else wanted
        # With two copies, to wait for both would stop writing whenever one is away.
        return cls(replicas, {MIN_IN_SYNC: IN_SYNC} if replicas >= REPLICAS else {})
