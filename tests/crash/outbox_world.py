"""
What is committed, what waits, and what is in the log; and whether that is as promised.

The log is read first: what is in it has been committed before, whoever goes on writing. What is wrong in it stays
wrong, so that can be asked at any moment; whether everything is there can be asked only at rest, since readers wait
behind a transaction that a dead relay has left open until another takes its slot over.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from tests.crash.log_reader import headers_of, place_of, read_messages
from tests.crash.world import read_tables

_SHOWN_MAX: Final = 5

_QUERIES: Final = {
    "entries": "SELECT event_id, key, number, position FROM entries",
    "waiting": "SELECT id, slot FROM eventbus_outbox",
    "published": 'SELECT event_id, "partition", "offset" FROM eventbus_published',
    "slots": "SELECT slot, holder FROM eventbus_relay_slots",
}


@dataclass(frozen=True, slots=True)
class Entry:
    event_id: str
    key: str
    number: int
    position: int


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """An entry as the log has it."""

    partition: int
    offset: int
    event_id: str
    key: str
    data: str


@dataclass(frozen=True, slots=True)
class Tables:
    """
    waiting     event id → slot
    published   event id → partition and offset, as receipts are answered
    slots       slot → who holds it, or held it last
    """

    entries: Mapping[str, Entry]
    waiting: Mapping[str, int]
    published: Mapping[str, tuple[int, int]]
    slots: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class OutboxWorld:
    """
    log   by partition and offset
    """

    log: Sequence[EntryRecord]
    tables: Tables


def look(database_url: str) -> Tables:
    """The tables, in one snapshot."""
    found = read_tables(database_url, _QUERIES)
    return Tables(
        {str(id): Entry(str(id), str(key), _int(number), _int(at)) for id, key, number, at in found["entries"]},
        {str(id): _int(slot) for id, slot in found["waiting"]},
        {str(id): (_int(partition), _int(offset)) for id, partition, offset in found["published"]},
        {_int(slot): str(holder) for slot, holder in found["slots"]},
    )


def read_outbox_world(bootstrap: str, database_url: str, topic: str) -> OutboxWorld:
    messages, _ = read_messages(bootstrap, [topic])
    log = [
        EntryRecord(
            *place_of(message)[1:],
            headers_of(message)["ce_id"],
            (message.key() or b"").decode(),
            (message.value() or b"").decode(),
        )
        for message in messages
    ]
    return OutboxWorld(log, look(database_url))


def outbox_faults(world: OutboxWorld, in_doubt: Mapping[str, int]) -> list[str]:
    """
    Sentences, at most a few of each kind; none is what a test wants.

    in_doubt   event id → how many deaths have found it in a slot that the dead relay held: so often it may be repeated
    """
    return [*_some(_in_the_log(world, in_doubt))]


def outbox_faults_at_rest(world: OutboxWorld, in_doubt: Mapping[str, int]) -> list[str]:
    """The same when nobody writes any more, and that nothing is left to do."""
    return [
        *outbox_faults(world, in_doubt),
        *_some(_committed(world)),
        *_some(f"event {id} still waits in slot {slot}" for id, slot in world.tables.waiting.items()),
        *_some(_positions(world)),
    ]


def _in_the_log(world: OutboxWorld, in_doubt: Mapping[str, int]) -> Iterator[str]:
    """Committed, word for word; a key in one partition and in its order; again only where that may be."""
    last: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    partitions: dict[str, int] = {}
    for record in world.log:
        where = f"partition {record.partition} offset {record.offset}"
        entry = world.tables.entries.get(record.event_id)
        if entry is None:
            yield f"{where} has event {record.event_id}, which was never committed"
            continue
        if (record.key, record.data) != (entry.key, f'{{"key":"{entry.key}","number":{entry.number}}}'):
            yield f"{where} has {record}, committed is {entry}"
        if partitions.setdefault(entry.key, record.partition) != record.partition:
            yield f"key {entry.key} is in partition {partitions[entry.key]} and at {where}"
        seen[record.event_id] += 1
        if (times := seen[record.event_id]) > 1:
            if times > 1 + in_doubt.get(record.event_id, 0):
                yield f"{where} has {record.event_id} (number {entry.number} of {entry.key}) for the {times}. time"
            continue
        if entry.number != last[entry.key] + 1:
            yield f"{where} has number {entry.number} of {entry.key} where {last[entry.key] + 1} was to come"
        last[entry.key] = max(last[entry.key], entry.number)


def _committed(world: OutboxWorld) -> Iterator[str]:
    """In the log; the numbers of a key without a gap."""
    in_the_log = {record.event_id for record in world.log}
    numbers: dict[str, list[int]] = defaultdict(list)
    for entry in world.tables.entries.values():
        numbers[entry.key].append(entry.number)
        if entry.event_id not in in_the_log:
            yield f"number {entry.number} of {entry.key} is committed and not in the log"
    for key, found in numbers.items():
        if sorted(found) != list(range(1, len(found) + 1)):
            yield f"key {key} has the numbers {sorted(found)}"


def _positions(world: OutboxWorld) -> Iterator[str]:
    """Where the relay says that an event is, it is."""
    places: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for record in world.log:
        places[record.event_id].add((record.partition, record.offset))
    for id in world.tables.entries:
        if world.tables.published.get(id) not in places[id]:
            yield f"event {id} is at {places[id]} of the log, its position says {world.tables.published.get(id)}"


def _some(faults: Iterator[str]) -> Iterator[str]:
    yield from islice(faults, _SHOWN_MAX)


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
