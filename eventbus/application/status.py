"""
What a running service answers when it is asked how it is: plain JSON, for people, probes and the demo.
"""

from collections.abc import Mapping

# Pydantic, and so FastAPI, takes typing's own only from Python 3.12 on.
from typing_extensions import TypedDict


class ConsumerReport(TypedDict):
    """One consumer: the handlers', or a projection's. *reason* says why it waits or has stopped."""

    name: str
    state: str
    reason: str | None
    partitions: int
    read_ahead: int


class RelayReport(TypedDict):
    """The outbox and this process' part in bringing it to the log; *rows* is None while the database is away."""

    rows: int | None
    oldest_age_seconds: float | None
    slots: list[int]
    published: int
    blocked_keys: list[str]
    waiting_for: str | None


class ParkedReport(TypedDict):
    """Keys whose events wait behind a dead letter, the events that wait, and the age of the oldest of the keys."""

    keys: int
    events: int
    oldest_age_seconds: float


class ApplicationStatus(TypedDict):
    """
    ready         every consumer is running (or paused by an operator), every projection's version is live, and neither
                  broker nor database is away
    broker        the log's address
    broker_pid    the embedded broker's process; None on a cluster, or while it is being started again
    handled       events that this process has handled since its start
    dead_letters  by consumer; None while the database is away
    parked        of the service's handlers; None while the database is away
    counters      `name{label=value}` → count, since the start
    """

    service: str
    ready: bool
    broker: str
    broker_pid: int | None
    database: str
    problem: str | None
    handled: int
    consumers: list[ConsumerReport]
    relay: RelayReport
    dead_letters: Mapping[str, int] | None
    parked: ParkedReport | None
    counters: Mapping[str, int]
