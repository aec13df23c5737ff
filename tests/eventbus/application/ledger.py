"""A service with a handler for each way to deal with failures; `refused` says what fails, and `taken` what happened."""

from eventbus import Event, Metadata, handles, retry_later

refused: set[str] = set()
taken: list[tuple[str, str, int]] = []
"""Handler, entry, attempt."""


class Booked(Event, topic="bookings", key="account"):
    account: str
    entry: str


class Moved(Event, topic="moves", key="account"):
    account: str
    entry: str


class Closed(Event, topic="closings", key="account"):
    account: str
    entry: str


def take(handler: str, entry: str, metadata: Metadata) -> None:
    taken.append((handler, entry, metadata.attempt))
    if entry in refused:
        raise RuntimeError(f"{entry} is refused")


@handles(Booked, attempts=1)
async def book(event: Booked, metadata: Metadata) -> None:
    take("book", event.entry, metadata)


@handles(Moved, attempts=1, on_failure=retry_later("50ms", "100ms"))
async def move(event: Moved, metadata: Metadata) -> None:
    take("move", event.entry, metadata)


@handles(Closed, attempts=1, on_failure="dead-letter", dead_letter_topic="ledger.dead")
async def close(event: Closed, metadata: Metadata) -> None:
    take("close", event.entry, metadata)
