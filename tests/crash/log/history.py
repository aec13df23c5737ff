"""
What was asked of a log and what was seen of it: an append-only file, one JSON line an event.

Every operation is two events: `Invoked` when it begins, `Completed` when its outcome is known: ok, fail (certainly not
done) or unknown (done, or not, or later). An operation that never completes is unknown for ever. Times are monotonic
seconds of the machine. A place is a partition, written `topic-index`.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

Outcome = Literal["ok", "fail", "unknown"]
Isolation = Literal["committed", "uncommitted"]


@dataclass(frozen=True, slots=True)
class Send:
    """One record; its value is unique, None is a tombstone. `producer` names one incarnation. ok tells the offset."""

    place: str
    producer: str
    value: str | None = None
    key: str | None = None
    transaction: str | None = None
    kind: Literal["send"] = "send"


@dataclass(frozen=True, slots=True)
class Init:
    """An incarnation takes a transactional id over; from ok on all earlier ones are fenced."""

    transactional_id: str
    producer: str
    kind: Literal["init"] = "init"


@dataclass(frozen=True, slots=True)
class Begin:
    """A transaction begins; it may be aborted by the broker `timeout_s` later."""

    transactional_id: str
    producer: str
    transaction: str
    timeout_s: float
    kind: Literal["begin"] = "begin"


@dataclass(frozen=True, slots=True)
class End:
    """A commit or an abort, perhaps one that was sent before. ok: so it ended."""

    transaction: str
    producer: str
    committed: bool
    kind: Literal["end"] = "end"


@dataclass(frozen=True, slots=True)
class Poll:
    """What one consumer got. `assignment` is another number after every rebalance and every restart."""

    consumer: str
    assignment: int
    isolation: Isolation
    group: str | None = None
    kind: Literal["poll"] = "poll"


@dataclass(frozen=True, slots=True)
class Commit:
    """A group's next offsets, by place; with a transaction they count when that is committed."""

    group: str
    offsets: dict[str, int]
    transaction: str | None = None
    kind: Literal["commit"] = "commit"


@dataclass(frozen=True, slots=True)
class Committed:
    """A look at a group's offsets; ok tells them, by place."""

    group: str
    kind: Literal["committed"] = "committed"


@dataclass(frozen=True, slots=True)
class Watch:
    """A look at the bounds of places."""

    kind: Literal["watch"] = "watch"


@dataclass(frozen=True, slots=True)
class Dump:
    """The whole log of a place, at rest, bare: markers and what was aborted included."""

    place: str
    compacted: bool
    retained: bool
    kind: Literal["dump"] = "dump"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something is done to the broker; completed when nothing stands in the way of the clients any more."""

    name: str
    kind: Literal["fault"] = "fault"


@dataclass(frozen=True, slots=True)
class Work:
    """A worker runs, and must get something done within `resumes_s` of every fault; completed when it stops."""

    resumes_s: float
    kind: Literal["work"] = "work"


Action = Annotated[
    Send | Init | Begin | End | Poll | Commit | Committed | Watch | Dump | Fault | Work, Field(discriminator="kind")
]


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as a consumer got it."""

    place: str
    offset: int
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """Log start offset, last stable offset, high watermark."""

    start: int
    stable: int
    high: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A record in the log; `marker` for one that ends a transaction."""

    offset: int
    value: str | None = None
    key: str | None = None
    producer_id: int = -1
    producer_epoch: int = -1
    transactional: bool = False
    marker: Literal["commit", "abort"] | None = None


@dataclass(frozen=True, slots=True)
class Invoked:
    at: float
    operation: int
    worker: str
    action: Action
    event: Literal["invoked"] = "invoked"


@dataclass(frozen=True, slots=True)
class Completed:
    """What an operation gave; `end` is the offset behind the last batch of a dump."""

    at: float
    operation: int
    outcome: Outcome
    offset: int | None = None
    offsets: dict[str, int] | None = None
    records: list[Seen] | None = None
    bounds: dict[str, Bounds] | None = None
    entries: list[Entry] | None = None
    end: int | None = None
    reason: str | None = None
    event: Literal["completed"] = "completed"


Event = Annotated[Invoked | Completed, Field(discriminator="event")]
_EVENT: TypeAdapter[Invoked | Completed] = TypeAdapter(Event)


@dataclass(slots=True)
class Operation:
    """Both events of an operation; without the second one `completed` is infinite and the outcome unknown."""

    number: int
    worker: str
    action: Action
    invoked: float
    completed: float = float("inf")
    outcome: Outcome = "unknown"
    result: Completed | None = None


def operations(events: Iterable[Invoked | Completed]) -> list[Operation]:
    """In the order in which they were invoked."""
    found: dict[int, Operation] = {}
    for event in events:
        if isinstance(event, Invoked):
            found[event.operation] = Operation(event.operation, event.worker, event.action, event.at)
        else:
            operation = found[event.operation]
            operation.completed, operation.outcome, operation.result = event.at, event.outcome, event
    return list(found.values())


class History:
    """The file, written by many threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab")
        self._lock = threading.Lock()
        self._numbers = count(1)

    def invoke(self, worker: str, action: Action) -> int:
        """The number of a new operation."""
        number = next(self._numbers)
        self._write(Invoked(time.monotonic(), number, worker, action))
        return number

    def complete(
        self,
        operation: int,
        outcome: Outcome,
        *,
        offset: int | None = None,
        offsets: dict[str, int] | None = None,
        records: list[Seen] | None = None,
        bounds: dict[str, Bounds] | None = None,
        entries: list[Entry] | None = None,
        end: int | None = None,
        reason: str | None = None,
    ) -> None:
        self._write(
            Completed(time.monotonic(), operation, outcome, offset, offsets, records, bounds, entries, end, reason)
        )

    def close(self) -> None:
        self._file.close()

    def _write(self, event: Invoked | Completed) -> None:
        line = _EVENT.dump_json(event, exclude_none=True) + b"\n"
        with self._lock:
            # Unbuffered enough to be read when the run itself has died.
            self._file.write(line)
            self._file.flush()


def read_history(path: Path) -> Iterator[Invoked | Completed]:
    """The events of a file, in the order in which they were written."""
    with path.open("rb") as lines:
        for line in lines:
            yield _EVENT.validate_json(line)
