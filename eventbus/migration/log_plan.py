"""What of a log is copied to where, and why it cannot be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from eventbus.migration.logs import Log, MigrationRefused, Say, settled_ranges
from eventbus.transport.kafka.administration import TopicRequest, TopicState
from eventbus.transport.kafka.replication import MIN_IN_SYNC, Replication
from eventbus.transport.port import OffsetRange, TopicPartition

HELD: Final[Mapping[str, str]] = {
    "cleanup.policy": "delete",
    "message.timestamp.type": "CreateTime",
    "retention.bytes": "-1",
    "retention.ms": "-1",
}
"""Settings of a topic while it is filled: nothing of it goes away, and records keep their times."""

# What only an embedded broker knows, and what is about one cluster's own brokers.
_STAYS: Final = ("flush.before.ack", "leader.replication.", "follower.replication.", MIN_IN_SYNC)


@dataclass(frozen=True, slots=True)
class TopicChoice:
    """
    What the operator has chosen.

    names        old names, with the new one of each; empty: every topic, under its name
    partitions   of the new topics; None: as many as the old ones
    replicas     of the new topics; None: what is right for the target
    """

    names: Mapping[str, str] = field(default_factory=dict[str, str])
    partitions: int | None = None
    replicas: int | None = None


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """One topic to be copied. `ranges` is of the old one, `there` what the new one holds already, by partition."""

    name: str
    new_name: str
    old: TopicState
    partitions: int
    ranges: Mapping[int, OffsetRange]
    exists: bool
    there: Mapping[int, int]
    request: TopicRequest
    finally_: Mapping[str, str]
    """Those of HELD that the old topic has set, as it has them."""

    @property
    def is_repartitioned(self) -> bool:
        """Whether keys go to other partitions than before."""
        return self.partitions != self.old.partitions

    @property
    def offsets(self) -> int:
        """How many offsets the old topic spans: no fewer than it has records."""
        return sum(found.end - found.start for found in self.ranges.values())


def plan_topics(source: Log, target: Log, choice: TopicChoice, say: Say) -> list[TopicPlan]:
    """The topics in the order of their names. Raises MigrationRefused."""
    names = dict(choice.names) or {name: name for name in source.cluster.names()}
    old = source.cluster.topics(list(names))
    if missing := [name for name in names if name not in old]:
        raise MigrationRefused(f"{source.name} has no topic {', '.join(map(repr, missing))}")
    if source.cluster_id == target.cluster_id and (same := [name for name, new in names.items() if name == new]):
        raise MigrationRefused(
            f"{source.name} and {target.name} are the same cluster: choose topics and give each another name, "
            f"--topic {same[0]}={same[0]}-2"
        )
    if len(set(names.values())) < len(names):
        raise MigrationRefused("two topics cannot become one: give each a name of its own")
    new = target.cluster.topics(list(names.values()))
    ranges = settled_ranges(source, {name: state.partitions for name, state in old.items()}, say)
    held = target.cluster.ranges({name: state.partitions for name, state in new.items()})
    replication = Replication.on(target.cluster.brokers(), choice.replicas)
    return [
        _plan(target, name, names[name], old[name], new.get(names[name]), ranges, held, choice, replication)
        for name in sorted(names)
    ]


def _plan(
    target: Log,
    name: str,
    new_name: str,
    old: TopicState,
    new: TopicState | None,
    ranges: Mapping[TopicPartition, OffsetRange],
    held: Mapping[TopicPartition, OffsetRange],
    choice: TopicChoice,
    replication: Replication,
) -> TopicPlan:
    partitions = choice.partitions or old.partitions
    if new is not None and new.partitions != partitions:
        raise MigrationRefused(
            f"{target.name}: topic {new_name!r} has {new.partitions} partitions, not {partitions}: delete it, or give "
            f"--partitions {new.partitions} (keys then go to other partitions, and every consumer has to have read to "
            "the end)"
        )
    there = {number: held[TopicPartition(new_name, number)] for number in range(partitions)} if new is not None else {}
    if any(found.start > 0 for found in there.values()):
        raise MigrationRefused(f"{target.name}: topic {new_name!r} has lost its beginning: delete it and begin again")
    own = {key: value for key, value in old.own.items() if not key.startswith(_STAYS)}
    configs = {**own, **HELD, **replication.configs}
    return TopicPlan(
        name,
        new_name,
        old,
        partitions,
        {number: ranges[TopicPartition(name, number)] for number in range(old.partitions)},
        new is not None,
        {number: found.end for number, found in there.items()},
        TopicRequest(partitions, replication.replicas, configs),
        {key: value for key, value in own.items() if key in HELD},
    )


def topic_choice(topics: Sequence[str], partitions: int | None, replicas: int | None) -> TopicChoice:
    """From options such as `orders` and `orders=orders-2`. Raises MigrationRefused."""
    names: dict[str, str] = {}
    for topic in topics:
        name, equals, new_name = topic.partition("=")
        if not name or (equals and not new_name) or name in names:
            raise MigrationRefused(f"--topic {topic}: it is NAME or NAME=NEWNAME, each name once")
        names[name] = new_name or name
    return TopicChoice(names, partitions, replicas)
