"""
The framework beside others from PyPI, each as its own documentation advises, and beside the raw client or driver.

Every contestant is a process of its own that keeps running between its turns; the peers' live in an environment of
their own (`.bench`). The log is `broker serve`, the same for all; PostgreSQL has fsync on; every contestant has a
database of its own on the same server.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final
from uuid import uuid4

from benchmarks import delivery, numbered, projections
from benchmarks.case import Case, Contestant, Measure, Mode, Target
from benchmarks.peer_environment import peer_python
from benchmarks.program import Program
from benchmarks.room import Room

_EVENTS: Final = Measure("rate", "events/s", more_is_better=True)
_COMMANDS: Final = Measure("rate", "commands/s", more_is_better=True)
_CPU: Final = Measure("CPU", "µs each", more_is_better=False)
_BOTH: Final = frozenset({Mode.FULL, Mode.QUICK})
_FULL: Final = frozenset({Mode.FULL})


@contextmanager
def programs() -> Iterator[list[Program]]:
    """What is put into the list is closed with the block, whatever became of it."""
    found: list[Program] = []
    with ExitStack() as ending:

        def close() -> None:
            for each in found:
                each.close()

        ending.callback(close)
        yield found


def own(name: str, module: str, settings: Mapping[str, object], seconds_max: float = 90.0) -> Program:
    return Program(name, sys.executable, f"benchmarks.own.{module}", settings, seconds_max=seconds_max)


def peer(name: str, module: str, settings: Mapping[str, object]) -> Program:
    return Program(name, peer_python(), f"benchmarks.peers.{module}", settings)


@contextmanager
def _handling(room: Room) -> Iterator[Sequence[Contestant]]:
    address = room.broker.address
    many, few = room.sized(40_000), room.sized(800)
    with (
        _payments(address, delivery.TOPIC, many),
        numbered.topic(address, delivery.PARTITIONS) as small,
        numbered.topic(address, delivery.PARTITIONS) as middle,
        programs() as found,
    ):
        delivery.fill(address, few, topic=small)
        delivery.fill(address, few * 5, topic=middle)
        given = {"address": address, "events": many, "what": "trivial", "run": uuid4().hex[:6]}
        found.append(own("raw loop", "raw_handling", given))
        for kind in ("sqlite", "postgresql"):
            found.append(own(f"eventbus, {_name(kind)}", "eventbus_handling", {**given, "url": room.database(kind)}))
        for client in ("confluent", "aiokafka"):
            for policy in ("default", "at-least-once"):
                slow = policy == "at-least-once"
                settings = {
                    "address": address,
                    "client": client,
                    "policy": policy,
                    "topic": small if slow else middle,
                    "events": few if slow else few * 5,
                    "seconds_max": 60,
                }
                found.append(peer(f"FastStream {client}, {policy}", "faststream_handling", settings))
        yield _ready(found)


@contextmanager
def _once(room: Room) -> Iterator[Sequence[Contestant]]:
    """A handler that leaves a row, once however often the event arrives."""
    address = room.broker.address
    many, few = room.sized(3_000), room.sized(350)
    with (
        _payments(address, delivery.TOPIC, many),
        numbered.topic(address, delivery.PARTITIONS) as small,
        programs() as found,
    ):
        delivery.fill(address, few, topic=small)
        for kind in ("sqlite", "postgresql"):
            settings = {"address": address, "events": many, "what": "insert", "url": room.database(kind)}
            found.append(own(f"eventbus, {_name(kind)}", "eventbus_handling", {**settings, "run": uuid4().hex[:6]}))
        for client in ("confluent", "aiokafka"):
            settings = {
                "address": address,
                "client": client,
                "topic": small,
                "events": few,
                "url": room.database("postgresql"),
            }
            found.append(peer(f"FastStream {client} and an inbox, PostgreSQL", "faststream_inbox", settings))
        yield _ready(found)


@contextmanager
def _payments(address: str, topic: str, events: int) -> Iterator[None]:
    """The topic of the framework's own handlers, filled; it is deleted with the block."""
    with numbered.topic(address, delivery.PARTITIONS, name=topic):
        delivery.fill(address, events)
        yield


@contextmanager
def _publishing(room: Room) -> Iterator[Sequence[Contestant]]:
    address, many, few = room.broker.address, room.sized(10_000), room.sized(3_000, 1_500)
    with numbered.topic(address, delivery.PARTITIONS) as name, programs() as found:
        common = {"address": address, "topic": name, "callers": 64}
        for label, way in (("raw client", "raw"), ("eventbus transport, by thousands", "transport")):
            settings = {**common, "way": way, "events": many, "url": room.database("sqlite")}
            found.append(own(label, "eventbus_publishing", settings))
        for kind in ("sqlite", "postgresql"):
            settings = {**common, "way": "outbox", "events": many, "url": room.database(kind)}
            found.append(own(f"eventbus, outbox and relay, {_name(kind)}", "eventbus_publishing", settings))
        for client in ("confluent", "aiokafka"):
            settings = {**common, "client": client, "events": few}
            found.append(peer(f"FastStream {client}", "faststream_publishing", settings))
        yield _ready(found)


@contextmanager
def _store(what: str, callers: int, kind: str, room: Room) -> Iterator[Sequence[Contestant]]:
    seconds = room.sized(1000, 500) / 1000
    with programs() as found:

        def settings(chosen: str) -> dict[str, object]:
            return {"what": chosen, "callers": callers, "seconds": seconds, "url": room.database(kind)}

        if what == "append":
            found.append(own("raw driver, one caller", "eventbus_store", {**settings("raw"), "callers": 1}))
            if callers > 1:
                raw = {**settings("raw_many"), "callers": 1}
                found.append(own("raw driver, 64 in each transaction", "eventbus_store", raw))
        elif what == "replay":
            found.append(own("raw driver, rows only", "eventbus_store", settings("raw_load")))
            found.append(own("eventbus, stored events", "eventbus_store", settings("load")))
        found.append(own("eventbus", "eventbus_store", settings(what)))
        found.append(peer("eventsourcing", "eventsourcing_store", settings(what)))
        found.append(peer("eventsource-py", "eventsource_py_store", settings(what)))
        yield _ready(found)


@contextmanager
def _dispatch(_room: Room) -> Iterator[Sequence[Contestant]]:
    with programs() as found:
        for label, way in (
            ("raw await", "await handler(command)"),
            ("eventbus", "commands.send(command)"),
            ("eventbus, query with a middleware", "queries.ask(query), one middleware"),
        ):
            found.append(own(label, "eventbus_dispatch", {"way": way}))
        found.append(peer("python-cqrs", "python_cqrs_dispatch", {}))
        yield _ready(found)


@contextmanager
def _relaying(room: Room) -> Iterator[Sequence[Contestant]]:
    rows, few = room.sized(14_000), room.sized(400)
    address = room.broker.address
    with numbered.topic(address, delivery.PARTITIONS) as name, programs() as found:
        common = {"address": address, "topic": name}
        for kind in ("sqlite", "postgresql"):
            settings = {**common, "rows": rows, "url": room.database(kind), "seconds": 1.0}
            found.append(own(f"eventbus, {_name(kind)}", "eventbus_relay", settings))
        settings = {**common, "rows": few, "url": room.database("postgresql"), "seconds": 1.0}
        found.append(peer("faststream-outbox, as it comes", "faststream_outbox_relay", {**settings, "tuned": False}))
        settings = {**settings, "url": room.database("postgresql"), "rows": few * 2, "tuned": True}
        found.append(peer("faststream-outbox, 8 workers, batches of 100", "faststream_outbox_relay", settings))
        yield _ready(found)


@contextmanager
def _catching_up(room: Room) -> Iterator[Sequence[Contestant]]:
    events, few = room.sized(36_000), room.sized(600, 600)
    address = room.broker.address
    with numbered.topic(address, projections.PARTITIONS, name=projections.TOPIC), programs() as found:
        projections.fill(address, events // 3 * 3)
        for label, way, kind in (
            ("raw loop", "raw", "sqlite"),
            ("eventbus, SQLite", "catch_up", "sqlite"),
            ("eventbus, PostgreSQL", "catch_up", "postgresql"),
            ("eventbus, rebuild beside the live one, PostgreSQL", "rebuild", "postgresql"),
        ):
            settings = {"address": address, "events": events, "way": way, "url": room.database(kind)}
            found.append(own(label, "eventbus_projection", settings))
        settings = {"events": few, "url": room.database("postgresql")}
        found.append(peer("eventsourcing, PostgreSQL", "eventsourcing_projection", settings))
        settings = {"events": few, "url": room.database("postgresql")}
        found.append(peer("eventsource-py, PostgreSQL", "eventsource_py_projection", settings))
        yield _ready(found)


def _ready(found: Sequence[Program]) -> Sequence[Contestant]:
    """All of them; one that does not start fails in its first turn, alone."""
    for each in found:
        try:
            each.ready()
        except RuntimeError as error:
            print(f"  {error}", flush=True)
    return found


def _name(kind: str) -> str:
    return "SQLite" if kind == "sqlite" else "PostgreSQL"


def _store_case(what: str, callers: int, kind: str, title: str, *targets: Target, quick: bool = False) -> Case:
    many = "one" if callers == 1 else str(callers)
    unit = _EVENTS if what == "replay" else _COMMANDS
    return Case(
        f"framework.{what}.{many}-{kind}",
        f"{title}, {_name(kind)}",
        (unit, _CPU),
        "eventbus",
        partial(_store, what, callers, kind),
        targets,
        _BOTH if quick else _FULL,
    )


CASES: Final = (
    Case(
        "framework.handling.trivial",
        "Events handled by a handler that costs nothing",
        (_EVENTS, _CPU),
        "eventbus, SQLite",
        _handling,
        (
            Target("rate", "eventbus, SQLite", "raw loop", 0.5),
            Target("rate", "eventbus, PostgreSQL", "raw loop", 0.5),
            Target("rate", "eventbus, SQLite", "FastStream confluent, at-least-once", 30),
            Target("rate", "eventbus, PostgreSQL", "FastStream confluent, at-least-once", 30),
        ),
        _BOTH,
    ),
    Case(
        "framework.publishing.64",
        "Events published, 64 callers",
        (_EVENTS, _CPU),
        "eventbus transport, by thousands",
        _publishing,
        (
            Target("rate", "eventbus transport, by thousands", "FastStream confluent", 4),
            Target("rate", "eventbus, outbox and relay, SQLite", "FastStream confluent", 4),
        ),
        note="FastStream publishes straight to the log; what eventbus publishes for a handler is committed to the "
        "outbox first, and counted until the log has acknowledged it.",
    ),
    Case(
        "framework.effects_once.insert",
        "Events whose handler leaves a row, once each",
        (_EVENTS, _CPU),
        "eventbus, PostgreSQL",
        _once,
        (Target("rate", "eventbus, PostgreSQL", "FastStream confluent and an inbox, PostgreSQL", 1),),
    ),
    _store_case(
        "append", 1, "sqlite", "Append, one caller", Target("rate", "eventbus", "eventsourcing", 0.8), quick=True
    ),
    _store_case("append", 1, "postgresql", "Append, one caller", Target("rate", "eventbus", "eventsourcing", 1.5)),
    _store_case("append", 64, "sqlite", "Append, 64 callers"),
    _store_case("append", 64, "postgresql", "Append, 64 callers", Target("rate", "eventbus", "eventsourcing", 10)),
    _store_case("command", 1, "sqlite", "Load, decide, append; one caller"),
    _store_case("command", 1, "postgresql", "Load, decide, append; one caller"),
    _store_case(
        "command", 64, "sqlite", "Load, decide, append; 64 callers", Target("rate", "eventbus", "eventsourcing", 10)
    ),
    _store_case(
        "command", 64, "postgresql", "Load, decide, append; 64 callers", Target("rate", "eventbus", "eventsourcing", 10)
    ),
    _store_case(
        "replay",
        1,
        "sqlite",
        "Load an aggregate of 1,000 events",
        Target("rate", "eventbus", "eventsourcing", 3),
        Target("rate", "eventbus, stored events", "eventsourcing", 3),
    ),
    _store_case(
        "replay",
        1,
        "postgresql",
        "Load an aggregate of 1,000 events",
        Target("rate", "eventbus", "eventsourcing", 3),
        Target("rate", "eventbus, stored events", "eventsourcing", 3),
    ),
    Case(
        "framework.relay.full-outbox",
        "A full outbox brought into the log, and one event into an idle one",
        (
            Measure("rate", "rows/s", more_is_better=True),
            Measure("p50", "ms", more_is_better=False),
            Measure("p99", "ms", more_is_better=False),
        ),
        "eventbus, PostgreSQL",
        _relaying,
        (
            Target("rate", "eventbus, PostgreSQL", "faststream-outbox, as it comes", 4),
            Target("rate", "eventbus, PostgreSQL", "faststream-outbox, 8 workers, batches of 100", 4),
            Target("p50", "eventbus, PostgreSQL", None, 15, at_least=False),
        ),
    ),
    Case(
        "framework.projection.catch-up",
        "A view catches up with the events",
        (_EVENTS, _CPU),
        "eventbus, PostgreSQL",
        _catching_up,
        (
            Target("rate", "eventbus, PostgreSQL", "eventsourcing, PostgreSQL", 50),
            Target("rate", "eventbus, rebuild beside the live one, PostgreSQL", None, 30_000),
        ),
        note="eventsourcing and eventsource-py project from their own stores, event by event in a transaction each "
        "(the former on PostgreSQL alone); neither has a rebuild beside the live view.",
    ),
    Case(
        "framework.dispatch.nothing",
        "A command to a handler that does nothing, in the same process",
        (Measure("time", "µs of CPU", more_is_better=False),),
        "eventbus",
        _dispatch,
        (Target("time", "eventbus", "python-cqrs", 0.2, at_least=False),),
        _BOTH,
    ),
)
