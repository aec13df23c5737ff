"""What becomes of records, told: counted for `status()`, said in the log, traced."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Final

from eventbus.database import DeadLetter, ParkedEvent, ParkedKey
from eventbus.delivery.event_claim import Fence
from eventbus.delivery.incoming import Call, Incoming, Work
from eventbus.observability import (
    EVENTS_DEAD_LETTERED,
    EVENTS_DELAYED,
    EVENTS_DRAINED,
    EVENTS_HANDLED,
    EVENTS_PARKED,
    EVENTS_REPEATED,
    EVENTS_RETRIED,
    EVENTS_REVIVED,
    EVENTS_SKIPPED,
    Counters,
    is_traced,
    process_span,
)
from eventbus.transport.port import IncomingRecord

_log = logging.getLogger("eventbus.delivery")

_UNKNOWN_TYPES_MAX: Final = 1000
_LINKS_MAX: Final = 16


class Outcomes:
    """The outcomes of one service's event handlers."""

    def __init__(self, service: str, counters: Counters) -> None:
        self._service = service
        self._counters = counters
        self._unknown: set[str] = set()

    def handled(self, types: Mapping[str, int], repeated: int = 0) -> None:
        """So many events of each type have taken effect, and so many were repeats."""
        for kind, count in types.items():
            self._counters.add(EVENTS_HANDLED, count, type=kind)
        if repeated:
            self._counters.add(EVENTS_REPEATED, repeated)

    def skipped(self, kind: str, record: IncomingRecord) -> None:
        """Nothing here knows the type; said once a type."""
        if kind not in self._unknown:
            if len(self._unknown) >= _UNKNOWN_TYPES_MAX:
                self._counters.add(EVENTS_SKIPPED, type="(others)")
                return
            self._unknown.add(kind)
            _log.info(
                "events of type %r are skipped, nothing here knows them (first: %s-%d offset %d)",
                kind,
                record.topic,
                record.partition,
                record.offset,
            )
        self._counters.add(EVENTS_SKIPPED, type=kind)

    def failed(self, work: Incoming, call: Call, error: Exception, attempt: int, pause: float) -> None:
        """A handler has failed and will be called again after *pause* seconds."""
        definition = call.invocation.definition
        self._counters.add(EVENTS_RETRIED, handler=definition.name)
        _log.warning(
            "handler %s failed at %s %s (%s-%d offset %d), attempt %d of %d, again in %.1f s: %s: %s",
            definition.name,
            work.type,
            work.envelope.id,
            work.record.topic,
            work.record.partition,
            work.record.offset,
            attempt,
            definition.options.attempts,
            pause,
            type(error).__name__,
            error,
        )

    def waiting(self, events: Sequence[ParkedEvent]) -> None:
        """Events that wait behind a dead letter of their key."""
        for event in events:
            self._counters.add(EVENTS_PARKED, handler=event.parked_key.handler)

    def dead(
        self,
        record: IncomingRecord,
        error: Exception,
        handler: str | None,
        attempts: int,
        *,
        parks: bool = False,
    ) -> None:
        """The record has become a dead letter; with *parks* its key waits behind it."""
        self._counters.add(EVENTS_DEAD_LETTERED, handler=handler or "(undecodable)")
        _log.error(
            "%s-%d offset %d went to the dead letters: %s%s: %s: %s",
            record.topic,
            record.partition,
            record.offset,
            f"handler {handler} failed {attempts} times" if handler and attempts else "it cannot be decoded",
            f", and later events of key {shown(record.key)} wait behind it" if parks else "",
            type(error).__name__,
            error,
        )

    def delayed(self, record: IncomingRecord, error: Exception, handler: str, attempts: int) -> None:
        """The record waits in a delay topic."""
        self._counters.add(EVENTS_DELAYED, handler=handler)
        _log.warning(
            "handler %s failed %d times at %s-%d offset %d, it is tried again later: %s: %s",
            handler,
            attempts,
            record.topic,
            record.partition,
            record.offset,
            type(error).__name__,
            error,
        )

    def failed_again(self, letter: DeadLetter, error: Exception, retry_at: datetime | None) -> None:
        """What was kept has been tried, and failed."""
        _log.warning(
            "%s-%d offset %d, dead letter %s: %s failed again, %s: %s: %s",
            letter.topic,
            letter.partition,
            letter.offset,
            letter.id,
            f"handler {letter.handler}" if letter.handler else "decoding",
            "it waits for somebody" if retry_at is None else f"next try at {retry_at:%H:%M:%S}",
            type(error).__name__,
            error,
        )

    def retried(self, letter: DeadLetter) -> None:
        """A dead letter has been handled after all."""
        handler = letter.handler or "(undecodable)"
        self._counters.add(EVENTS_REVIVED, handler=handler)
        _log.info(
            "%s-%d offset %d, dead letter %s: handled by %s",
            letter.topic,
            letter.partition,
            letter.offset,
            letter.id,
            handler,
        )

    def drained(self, key: ParkedKey, events: Sequence[ParkedEvent], *, freed: bool) -> None:
        """Events that had waited have taken effect; with *freed* the key is live again."""
        if events:
            self._counters.add(EVENTS_DRAINED, len(events), handler=key.handler)
        if freed:
            _log.info("key %s of %s is live again for %s", shown(key.key), key.topic, key.handler)

    def span(self, fence: Fence, works: Sequence[Work]) -> AbstractContextManager[object]:
        """Around the handling of *works*, linked to what created them."""
        if not is_traced():
            return nullcontext()
        creators = dict.fromkeys(
            work.envelope.traceparent for work in works if isinstance(work, Incoming) and work.envelope.traceparent
        )
        first = works[0].record.offset if works else fence.next_offset
        links = tuple(creator for creator, _ in zip(creators, range(_LINKS_MAX), strict=False) if creator)
        return process_span(fence.log.topic, self._service, fence.log.partition, first, len(works), links)


def shown(key: bytes | None) -> str:
    """A record's key for people."""
    return repr(None if key is None else key.decode(errors="backslashreplace"))
