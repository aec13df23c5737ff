"""
The log itself: topics, partitions, offsets, groups and transactional ids in this process' memory.

Offsets     as Kafka's: a transaction leaves a marker behind its records in every partition that it wrote, which takes
            an offset and is no record. So a reader's position is not its last record's offset plus one here, either
Threads     every call is done under one lock, so applications in several event loops and threads can share a log
Absence     `stop()` and `start()` take it away and give it back, for tests of what a service does meanwhile
Lifetime    a named log lives until the process ends, a log without a name as long as somebody has it
"""

import itertools
import logging
import re
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from eventbus.errors import BrokerUnavailable, InvalidConfiguration, PublishRefused
from eventbus.transport.memory.groups import Group, Member
from eventbus.transport.memory.waiter import Waiter
from eventbus.transport.partitioning import partition_of
from eventbus.transport.port import (
    IncomingRecord,
    LogDescription,
    OffsetRange,
    OutgoingRecord,
    ProducerFenced,
    Published,
    TopicDescription,
    TopicPartition,
)

_log = logging.getLogger("eventbus.transport")

RECORD_BYTES_MAX: Final = 1_048_588
"""The largest record, with its key and headers: Kafka's default of `message.max.bytes`."""

_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(slots=True)
class _Topic:
    """A topic's partitions; an entry without a record is a transaction's marker."""

    topic_id: str
    partitions: list[list[IncomingRecord | None]]
    keyless: "itertools.count[int]" = field(default_factory=itertools.count)


class MemoryLog:
    """
    A log of this process. `MemoryTransport(log)` is a connection to it.

    name   for messages; `MemoryLog.named` gives every caller of the process the same one
    """

    _named: ClassVar["dict[str, MemoryLog]"] = {}

    def __init__(self, name: str = "") -> None:
        self.address: Final = f"memory:{name}"
        self._cluster_id = uuid.uuid4().hex
        self._lock = threading.RLock()
        self._topics: dict[str, _Topic] = {}
        self._groups: dict[str, Group] = {}
        self._producer_epochs: dict[str, int] = {}
        self._waiters: set[Waiter] = set()
        self._away_since: float | None = None

    @classmethod
    def named(cls, name: str) -> "MemoryLog":
        """The log of that name, which is made by the first who asks."""
        return cls._named.setdefault(name, cls(name))

    @classmethod
    def forget(cls, name: str) -> None:
        """Who says this name from now on gets a new log; the old one stays with those who have it."""
        cls._named.pop(name, None)

    # Absence.

    def stop(self) -> None:
        """Makes the log unavailable: who writes waits, who asks is told so."""
        with self._lock:
            if self._away_since is None:
                self._away_since = time.monotonic()
                _log.warning("broker %s is away, waiting for it", self.address)
            self._wake()

    def start(self) -> None:
        """Makes the log available again, with all that was in it."""
        with self._lock:
            if (away := self.away_seconds) is not None:
                self._away_since = None
                _log.info("broker %s is back after %.1f s", self.address, away)
            self._wake()

    @property
    def away_seconds(self) -> float | None:
        """How long the log has been unavailable; None when it is there."""
        return None if self._away_since is None else time.monotonic() - self._away_since

    def watch(self, waiter: Waiter) -> None:
        """Wakes *waiter* at every change from now on."""
        with self._lock:
            self._waiters.add(waiter)

    def unwatch(self, waiter: Waiter) -> None:
        """Ends `watch`."""
        with self._lock:
            self._waiters.discard(waiter)

    # Topics.

    def make_topics(self, topics: Mapping[str, int]) -> dict[str, int]:
        """Makes those that are missing; answers all those asked for with the partitions that they have."""
        if refused := [name for name in topics if not _TOPIC.fullmatch(name) or name in {".", ".."}]:
            raise InvalidConfiguration(
                f"topic {refused[0]!r} cannot be made: a topic's name is 1 to 249 of a-z, A-Z, 0-9, dot, dash and "
                "underscore"
            )
        with self._lock:
            for name, partitions in topics.items():
                if name not in self._topics:
                    self._topics[name] = _Topic(uuid.uuid4().hex, [[] for _ in range(partitions)])
            for group in self._groups.values():
                group.rebalance(self._sizes())
            self._wake()
            return {name: len(self._topics[name].partitions) for name in topics}

    def describe(self, topics: Iterable[str]) -> LogDescription:
        """See `Transport.describe`."""
        with self._lock:
            if (away := self.away_seconds) is not None:
                raise BrokerUnavailable(f"broker {self.address} has been away for {away:.1f} s")
            found = {name: self._topics[name] for name in topics if name in self._topics}
            return LogDescription(
                self._cluster_id,
                {
                    name: TopicDescription(
                        topic.topic_id, tuple(OffsetRange(0, len(entries)) for entries in topic.partitions)
                    )
                    for name, topic in found.items()
                },
            )

    # Records.

    def append(self, records: Sequence[OutgoingRecord]) -> list[Published | PublishRefused]:
        """Writes *records*; one that is refused keeps the later ones of its key out."""
        with self._lock:
            outcomes = self._append(records)
            self._wake()
        return outcomes

    def take_over(self, transactional_id: str) -> int:
        """A new producer epoch of the id: who has an older one is fenced."""
        with self._lock:
            epoch = self._producer_epochs.get(transactional_id, -1) + 1
            self._producer_epochs[transactional_id] = epoch
            return epoch

    def commit(
        self, transactional_id: str, producer_epoch: int, records: Sequence[OutgoingRecord]
    ) -> list[Published | PublishRefused]:
        """Writes *records* in one transaction. Raises ProducerFenced."""
        with self._lock:
            if (newest := self._producer_epochs[transactional_id]) != producer_epoch:
                raise ProducerFenced(
                    f"transactional id {transactional_id!r} was taken over: this producer has epoch {producer_epoch}, "
                    f"the newest is {newest}"
                )
            outcomes = self._append(records)
            for topic, partition in {(at.topic, at.partition) for at in outcomes if isinstance(at, Published)}:
                self._topics[topic].partitions[partition].append(None)
            self._wake()
        return outcomes

    def read(self, place: TopicPartition, offset: int, records_max: int) -> tuple[list[IncomingRecord], int] | None:
        """Records from *offset* on and the position behind them; None when the offset is not in the log."""
        with self._lock:
            topic = self._topics.get(place.topic)
            if topic is None or place.partition >= len(topic.partitions):
                return None
            entries = topic.partitions[place.partition]
            if not 0 <= offset <= len(entries):
                return None
            found = entries[offset : offset + records_max]
            return [record for record in found if record is not None], offset + len(found)

    def _append(self, records: Sequence[OutgoingRecord]) -> list[Published | PublishRefused]:
        outcomes: list[Published | PublishRefused] = []
        refused: set[tuple[str, bytes | None]] = set()
        now_ms = time.time_ns() // 1_000_000
        for record in records:
            fault = self._fault(record)
            if fault is None and (record.topic, record.key) in refused:
                fault = "a record of its key before it was refused"
            if fault is not None:
                if record.key is not None:
                    refused.add((record.topic, record.key))
                outcomes.append(PublishRefused(f"topic {record.topic!r} refuses the record: {fault}"))
                continue
            topic = self._topics[record.topic]
            count = len(topic.partitions)
            number = next(topic.keyless) % count if record.key is None else partition_of(record.key, count)
            entries = topic.partitions[number]
            offset = len(entries)
            headers = [(name, value.encode() if isinstance(value, str) else value) for name, value in record.headers]
            entries.append(IncomingRecord(record.topic, number, offset, record.key, record.value, headers, now_ms))
            outcomes.append(Published(record.topic, number, offset))
        return outcomes

    def _fault(self, record: OutgoingRecord) -> str | None:
        if record.topic not in self._topics:
            return "there is no such topic"
        size = len(record.key or b"") + len(record.value or b"")
        size += sum(len(name) + len(value) for name, value in record.headers)
        if size > RECORD_BYTES_MAX:
            return f"it is too large, {size:,} bytes where {RECORD_BYTES_MAX:,} are allowed"
        return None

    # Groups.

    def join(self, group_id: str, member: Member) -> Group:
        """Makes *member* one of the group, which is made by its first."""
        with self._lock:
            group = self._groups.setdefault(group_id, Group(group_id))
            group.join(member, self._sizes())
            self._wake()
        return group

    def leave(self, group: Group, member: Member) -> None:
        """The member's partitions go to the others."""
        with self._lock:
            group.leave(member, self._sizes())
            self._wake()

    def to_give_up(self, group: Group, member: Member) -> frozenset[TopicPartition]:
        """See `Group.to_give_up`."""
        with self._lock:
            return group.to_give_up(member)

    def give_up(self, member: Member, partitions: frozenset[TopicPartition]) -> None:
        """The member has ended with these partitions: others may have them."""
        with self._lock:
            member.owned -= partitions
            self._wake()

    def grant(self, group: Group, member: Member) -> bool:
        """See `Group.grant`."""
        with self._lock:
            return group.grant(member)

    def store_offsets(self, group: Group, member: Member, offsets: Mapping[TopicPartition, int]) -> None:
        """Those of partitions that the member has."""
        with self._lock:
            group.offsets.update({place: offset for place, offset in offsets.items() if place in member.owned})

    def group_offsets(self, group_id: str) -> dict[TopicPartition, int]:
        """What the members of a group have stored: where they go on reading."""
        with self._lock:
            group = self._groups.get(group_id)
            return {} if group is None else dict(group.offsets)

    def _sizes(self) -> dict[str, int]:
        return {name: len(topic.partitions) for name, topic in self._topics.items()}

    def _wake(self) -> None:
        self._waiters = {waiter for waiter in self._waiters if not waiter.is_dead}
        for waiter in self._waiters:
            waiter.wake()
