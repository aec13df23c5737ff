"""A service for which time matters: its handlers fail, are tried again, and write down when it was."""

from datetime import datetime
from typing import Literal

from eventbus import Aggregate, Clock, Command, Event, Metadata, Repository, applies, handles, retry_later

calls: list[tuple[str, int, datetime]] = []
"""Handler, attempt, and what time it was by the clock that it asked for."""
failing: dict[str, int] = {}
"""How many more calls of a handler fail."""


class Send(Command):
    parcel_id: str


class Sent(Event):
    parcel_id: str


class Parcel(Aggregate, topic="parcels"):
    status: Literal["new", "sent"] = "new"

    def send(self) -> None:
        self.record(Sent(parcel_id=self.id))

    @applies(Sent)
    def _sent(self, event: Sent) -> None:
        self.status = "sent"


@handles(Send)
async def send(command: Send, parcels: Repository[Parcel]) -> None:
    (await parcels.load_or_new(command.parcel_id)).send()


@handles(Sent, attempts=4, backoff_seconds=3600.0, backoff_seconds_max=7200.0)
async def announce(event: Sent, metadata: Metadata, clock: Clock) -> None:
    _take("announce", metadata, clock)


@handles(Sent, attempts=1, on_failure=retry_later("1h", "2d"))
async def insure(event: Sent, metadata: Metadata, clock: Clock) -> None:
    _take("insure", metadata, clock)


def _take(handler: str, metadata: Metadata, clock: Clock) -> None:
    calls.append((handler, metadata.attempt, clock.now()))
    if failing.get(handler, 0) > 0:
        failing[handler] -= 1
        raise RuntimeError(f"{handler} fails")
