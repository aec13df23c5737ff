"""
Whether what a crash has left is as promised.

`faults_at_any_moment` holds also right after a kill, with work half done: whatever a consumer's checkpoint has passed
has taken effect exactly once, and nothing else has. `faults_at_rest` holds when everything that was sent has been
acknowledged, published and consumed. Both answer sentences, at most a few of each kind; none is what a test wants.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from tests.crash.accounts import is_poison
from tests.crash.world import Effect, LogRecord, World, number_of

_SHOWN_MAX: Final = 5
_STREAMS: Final = {"Deposited": ("Account", "accounts"), "Audited": ("Audit", "audits")}


@dataclass
class Told:
    """
    What the service was told and has answered.

    sent          command id → its number, which is no other command's
    acknowledged  command id → ids of the events that its receipt has named
    in_doubt      event id → how many deaths have found it in the outbox: whether it had been published, nobody knew
    """

    sent: dict[str, int] = field(default_factory=dict[str, int])
    acknowledged: dict[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    in_doubt: Counter[str] = field(default_factory=Counter[str])


def faults_at_any_moment(world: World, told: Told) -> list[str]:
    """A repeat in the log is none for each time that its event was in doubt."""
    return [
        *_some(_in_the_store(world, told)),
        *_some(_in_the_log(world, told)),
        *_some(_between_store_and_log(world)),
        *_some(_effects(world)),
        *_some(_audits(world)),
        *_some(_summaries(world)),
        *_some(_journal(world)),
        *_some(_dead_letters(world)),
    ]


def faults_at_rest(world: World, told: Told) -> list[str]:
    """All of `faults_at_any_moment`, and that nothing is left to do."""
    return [
        *faults_at_any_moment(world, told),
        *_some(f"command {id} was never acknowledged" for id in told.sent.keys() - told.acknowledged.keys()),
        *_some(f"event {id} is still in the outbox" for id in world.outbox),
        *_some(behind(world)),
    ]


def _some(faults: Iterable[str]) -> Iterator[str]:
    yield from islice(faults, _SHOWN_MAX)


def _in_the_store(world: World, told: Told) -> Iterator[str]:
    """Acknowledged is stored; stored was sent, once; versions without a gap."""
    stored = {row.id for row in world.stored}
    for command, events in told.acknowledged.items():
        if not events or not stored.issuperset(events):
            yield f"command {command} was acknowledged with the events {list(events)}, which are not all stored"
    deposits = Counter(number_of(row.data) for row in world.stored if row.type == "Deposited")
    sent = set(told.sent.values())
    for number, times in deposits.items():
        if times > 1:
            yield f"the command of number {number} was handled {times} times"
        if number not in sent:
            yield f"number {number} was deposited, and no command said so"
    versions: dict[str, list[int]] = defaultdict(list)
    for row in world.stored:
        versions[row.stream].append(row.version)
    for stream, found in versions.items():
        if found != list(range(1, len(found) + 1)):
            yield f"stream {stream} has the versions {found}"


def _in_the_log(world: World, told: Told) -> Iterator[str]:
    """In the log is stored, word for word; a stream is in one partition, in its order; twice only where it may be."""
    stored = {row.id: row for row in world.stored}
    places: dict[str, tuple[str, int]] = {}
    last: dict[str, int] = {}
    seen: Counter[str] = Counter()
    for record in world.log:
        row = stored.get(record.id)
        where = f"{record.topic}-{record.partition} offset {record.offset}"
        if row is None:
            yield f"{where} has event {record.id} ({record.type}), which was never committed"
            continue
        in_log = (record.topic, record.type, record.stream, record.version, record.data)
        if in_log != (row.topic, row.type, row.stream, row.version, row.data):
            yield f"{where} has {in_log} as event {record.id}, the store has {row}"
        if places.setdefault(record.stream, (record.topic, record.partition)) != (record.topic, record.partition):
            yield f"stream {record.stream} is in {places[record.stream]} and at {where}"
        seen[record.id] += 1
        if seen[record.id] > 1:
            if seen[record.id] > 1 + told.in_doubt[record.id]:
                yield f"{where} has event {record.id} for the {seen[record.id]}. time"
            continue
        expected = last.get(record.stream, 0) + 1
        last[record.stream] = max(expected, record.version)
        if record.version != expected:
            yield f"{where} has version {record.version} of {record.stream} where {expected} was to come"


def _between_store_and_log(world: World) -> Iterator[str]:
    """What is stored is in the log, or waits for the relay."""
    on_the_way = {record.id for record in world.log} | world.outbox
    for row in world.stored:
        if row.id not in on_the_way:
            yield f"event {row.id} ({row.stream} version {row.version}) is stored, and neither in the log nor waiting"


def _passed(world: World, consumer: str, topic: str) -> list[LogRecord]:
    """The topic's events that the consumer's checkpoints have passed, each once, in order."""
    reached = {
        checkpoint.partition: checkpoint.next_offset
        for checkpoint in world.checkpoints
        if (checkpoint.consumer, checkpoint.topic) == (consumer, topic)
    }
    first: dict[str, LogRecord] = {}
    for record in world.log:
        if record.topic == topic and record.offset < reached.get(record.partition, 0):
            first.setdefault(record.id, record)
    return list(first.values())


def _effects(world: World) -> Iterator[str]:
    """Each deposit that the handlers have passed took effect once, an account's in order, and no other did."""
    expected = [
        Effect(record.id, record.stream.removeprefix("Account-"), number_of(record.data))
        for record in _passed(world, "accounts", "accounts")
        if not is_poison(number_of(record.data))
    ]
    yield from _differences("effect", Counter(expected), Counter(world.effects))
    for account, effects in _by_account(world.effects).items():
        if effects != _by_account(expected).get(account, []):
            yield f"the effects of account {account} are not in the order of its deposits"


def _by_account(effects: Iterable[Effect]) -> dict[str, list[Effect]]:
    found: dict[str, list[Effect]] = defaultdict(list)
    for effect in effects:
        found[effect.account].append(effect)
    return found


def _audits(world: World) -> Iterator[str]:
    """The second handler's: one event for each deposit that was passed, in the order of the account's deposits."""
    expected: dict[str, list[int]] = defaultdict(list)
    for record in _passed(world, "accounts", "accounts"):
        expected[record.stream.replace("Account-", "Audit-", 1)].append(number_of(record.data))
    found: dict[str, list[int]] = defaultdict(list)
    for row in world.stored:
        if row.type == "Audited":
            found[row.stream].append(number_of(row.data))
    for stream in expected.keys() | found.keys():
        if expected[stream] != found[stream]:
            yield f"stream {stream} has audited {found[stream]}, its deposits are {expected[stream]}"


def _dead_letters(world: World) -> Iterator[str]:
    """One for each deposit that `take_effect` cannot handle, and no other; its second handler may be under way."""
    poison = {row.id for row in world.stored if row.type == "Deposited" and is_poison(number_of(row.data))}
    found = Counter(letter.event_id for letter in world.dead_letters)
    for letter in world.dead_letters:
        is_expected = letter.consumer == "accounts" and (letter.handler or "").endswith("take_effect")
        if letter.event_id not in poison or not is_expected or found[letter.event_id] > 1:
            yield f"dead letter, {found[letter.event_id]} times: {letter}"
    for record in _passed(world, "accounts", "accounts"):
        if record.id in poison and record.id not in found:
            yield f"event {record.id} cannot be handled and has been passed, and is no dead letter"


def _summaries(world: World) -> Iterator[str]:
    """The rows are those that folding the log up to the checkpoints gives."""
    expected: dict[str, tuple[int, int]] = {}
    for record in _passed(world, "account_summaries", "accounts"):
        account = record.stream.removeprefix("Account-")
        deposits, digest = expected.get(account, (0, 0))
        expected[account] = (deposits + 1, (digest * 31 + number_of(record.data)) % 1_000_003)
    for account in expected.keys() | world.summaries.keys():
        if expected.get(account) != world.summaries.get(account):
            yield (
                f"the summary of account {account} is {world.summaries.get(account)}, the log says "
                f"{expected.get(account)}"
            )


def _journal(world: World) -> Iterator[str]:
    """The same of the projection in SQL."""
    by_version = {(row.stream, row.version): row.id for row in world.stored}
    expected = [
        (by_version.get((record.stream.replace("Audit-", "Account-", 1), record.version), "?"), number_of(record.data))
        for record in _passed(world, "journal", "audits")
    ]
    yield from _differences("journal row", Counter(expected), Counter(world.journal))


def _differences(what: str, expected: Mapping[object, int], found: Mapping[object, int]) -> Iterator[str]:
    for one in expected.keys() | found.keys():
        if expected.get(one, 0) != found.get(one, 0):
            yield f"{what} {one}: there {found.get(one, 0)} times, expected {expected.get(one, 0)}"


def repeats_in(world: World) -> int:
    """Records that the relay has published again."""
    return len(world.log) - len({record.id for record in world.log})


def behind(world: World) -> Iterator[str]:
    """Every consumer has come to the end of what it reads."""
    reached = {(one.consumer, one.topic, one.partition): one.next_offset for one in world.checkpoints}
    for consumer, topic in (("accounts", "accounts"), ("account_summaries", "accounts"), ("journal", "audits")):
        for (log_topic, partition), end in world.ends.items():
            next_offset = reached.get((consumer, topic, partition), 0)
            if log_topic == topic and next_offset != end:
                yield f"{consumer} is at {next_offset} of {topic}-{partition}, which ends at {end}"
