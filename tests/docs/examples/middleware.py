"""Middleware of three kinds: docs/how-to/write-a-middleware.md."""

from dataclasses import dataclass
from time import monotonic

from sqlalchemy import text

from eventbus import Command, DomainError, Event, Metadata, Next, Query, UnitOfWork


@dataclass(frozen=True)
class OpeningHours:
    is_open: bool


class Closed(DomainError):
    pass


async def only_when_open(command: Command, call_next: Next, hours: OpeningHours) -> object:
    if not hours.is_open:
        raise Closed(f"{command.message_name} has to wait until tomorrow")
    return await call_next()


async def audited(message: Command | Event, call_next: Next, work: UnitOfWork, metadata: Metadata) -> object:
    answer = await call_next()
    await work.connection.execute(
        text("INSERT INTO audit (message_id, type, correlation_id) VALUES (:id, :type, :correlation_id)"),
        {"id": metadata.id, "type": metadata.type, "correlation_id": metadata.correlation_id},
    )
    return answer


class Remembered:
    """Answers a query that was asked a moment ago without asking its handler again."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._answers: dict[Query[object], tuple[float, object]] = {}

    async def __call__(self, query: Query[object], call_next: Next) -> object:
        asked_at, answer = self._answers.get(query, (float("-inf"), None))
        if monotonic() - asked_at > self._seconds:
            answer = await call_next()
            self._answers[query] = (monotonic(), answer)
        return answer
