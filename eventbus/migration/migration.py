"""
The whole move: topics, groups, services, in this order; any step of it is safe to be killed in, and to be run again.

Every call blocks; the databases are worked on in an event loop of their own.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import anyio

from eventbus.database import Database
from eventbus.migration.log_copy import CopiedTopic, Progress, TopicCopy
from eventbus.migration.log_plan import HELD, TopicChoice, TopicPlan, plan_topics
from eventbus.migration.logs import Log, opened, refuse_members
from eventbus.migration.service_move import MovedService, ServiceMove
from eventbus.migration.translation import MovedTopic, Translation
from eventbus.projections import AnyProjection
from eventbus.transport.port import TopicPartition

R = TypeVar("R")


class Bars(Protocol):
    """Shows a step at a time to whoever waits."""

    def step(self, name: str, total: int) -> Progress:
        """The next step, of *total* offsets, records and rows."""
        ...


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """
    One service: its databases' URLs (without a target its rows change where they are) and the projections of its
    application; None: no application was given.
    """

    service: str
    source_url: str
    target_url: str | None
    projections: Sequence[type[AnyProjection]] | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a move would do."""

    topics: Sequence[TopicPlan]
    groups: Mapping[str, int]
    """How many offsets each group has committed in the topics."""
    tables: Mapping[str, Mapping[str, int]]
    """Rows by table, by service."""
    left_out: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move has done."""

    topics: Sequence[CopiedTopic]
    groups: Mapping[str, int]
    skipped_offsets: Sequence[str]
    services: Sequence[MovedService]


@dataclass(slots=True)
class Migration:
    """
    source, target  URLs of logs, as EVENTBUS_BROKER_URL has them; both None: the log stays
    choice          of topics
    services        whose databases are moved, or changed where they are
    """

    source: str | None
    target: str | None
    choice: TopicChoice
    services: Sequence[ServiceSpec]
    bars: Bars
    _logs: tuple[Log, Log] | None = field(default=None, init=False)

    @contextmanager
    def opened(self) -> Generator[None]:
        """Opens both logs, and keeps services out of them as far as that can be. Raises what is wrong at once."""
        progress = self.bars.step("checking", 0)
        self._run(lambda: self._each(lambda move: move.check(progress)))
        with ExitStack() as stack:
            if self.source is not None and self.target is not None:
                source = stack.enter_context(opened(self.source, "--from"))
                target = stack.enter_context(opened(self.target, "--to"))
                refuse_members(source, self.choice.names, progress.say)
                self._logs = source, target
            yield

    def plan(self) -> Plan:
        """What `run` would do; nothing is written. Raises MigrationRefused."""
        topics: Sequence[TopicPlan] = ()
        groups: dict[str, int] = {}
        if self._logs is not None:
            source, target = self._logs
            topics = plan_topics(source, target, self.choice, self.bars.step("planning", 0).say)
            groups = {group: len(offsets) for group, offsets in _group_offsets(source, topics).items()}
        tables: dict[str, Mapping[str, int]] = {}
        left_out: dict[str, Mapping[str, str]] = {}

        async def look(move: ServiceMove) -> None:
            found, tables[move.service] = await move.rows()
            left_out[move.service] = found.left_out

        self._run(lambda: self._each(look))
        return Plan(topics, groups, tables, left_out)

    def run(self, plan: Plan) -> Moved:
        """Moves what *plan* has found. Raises MigrationRefused."""
        copied: list[CopiedTopic] = []
        groups: dict[str, int] = {}
        skipped: list[str] = []
        translation = Translation.none
        if self._logs is not None:
            source, target = self._logs
            copied = [self._copy(source, target, topic) for topic in plan.topics]
            moved = [_moved_topic(topic) for topic in copied]
            groups, skipped = _move_groups(source, target, plan.topics, moved)

            def translation() -> Translation:
                return Translation(source.cluster_id, target.cluster_id, moved)

        services: list[MovedService] = []

        async def move_one(move: ServiceMove) -> None:
            rows = sum(plan.tables[move.service].values())
            progress = self.bars.step(move.service, rows * 2 if move.target is not None else 0)
            services.append(await move.run(translation(), progress))

        self._run(lambda: self._each(move_one))
        if self._logs is not None:
            for topic in copied:
                _release(self._logs[1], topic.plan)
        return Moved(copied, groups, skipped, services)

    def _copy(self, source: Log, target: Log, topic: TopicPlan) -> CopiedTopic:
        # Read once there, and once here for what is compared.
        progress = self.bars.step(topic.new_name, topic.offsets * 2)
        return TopicCopy(source, target, topic, progress).run()

    async def _each(self, work: Callable[[ServiceMove], Coroutine[object, object, None]]) -> None:
        for spec in self.services:
            async with _service_move(spec) as move:
                await work(move)

    def _run(self, work: Callable[[], Coroutine[object, object, R]]) -> R:
        return anyio.run(work)


@asynccontextmanager
async def _service_move(spec: ServiceSpec) -> AsyncGenerator[ServiceMove]:
    source = Database.from_url(spec.source_url)
    target = None if spec.target_url is None else Database.from_url(spec.target_url)
    try:
        yield ServiceMove(spec.service, source, target, spec.projections)
    finally:
        await source.aclose()
        if target is not None:
            await target.aclose()


def _group_offsets(source: Log, topics: Sequence[TopicPlan]) -> dict[str, dict[TopicPartition, int]]:
    names = {topic.name for topic in topics}
    found: dict[str, dict[TopicPartition, int]] = {}
    for group in source.cluster.groups():
        offsets = {
            place: offset for place, offset in source.cluster.group_offsets(group).items() if place.topic in names
        }
        if offsets:
            found[group] = offsets
    return found


def _moved_topic(topic: CopiedTopic) -> MovedTopic:
    plan = topic.plan
    return MovedTopic(plan.name, plan.new_name, plan.old.topic_id, topic.topic_id, topic.maps, topic.counts)


def _move_groups(
    source: Log, target: Log, topics: Sequence[TopicPlan], moved: Sequence[MovedTopic]
) -> tuple[dict[str, int], list[str]]:
    """How many offsets each group has now, and which have no place in the new log."""
    by_name = {topic.name: topic for topic in moved}
    groups: dict[str, int] = {}
    skipped: list[str] = []
    for group, offsets in _group_offsets(source, topics).items():
        new: dict[TopicPartition, int] = {}
        for place, offset in offsets.items():
            topic = by_name[place.topic]
            if topic.is_repartitioned and topic.maps[place.partition].is_behind_all(offset):
                new |= {TopicPartition(topic.new_name, number): end for number, end in topic.ends.items()}
            elif (position := topic.position(place.partition, offset)) is not None:
                new[TopicPartition(topic.new_name, place.partition)] = position
            else:
                skipped.append(f"{group}: {place.topic}-{place.partition} at {offset}")
        if new:
            target.cluster.set_group_offsets(group, new)
            groups[group] = len(new)
    return groups, skipped


def _release(target: Log, topic: TopicPlan) -> None:
    """Gives a topic the settings that were held while it was filled."""
    own = target.cluster.topics([topic.new_name])[topic.new_name].own
    changes = {
        key: topic.finally_.get(key)
        for key, held in HELD.items()
        if own.get(key) == held and topic.finally_.get(key) != held
    }
    target.cluster.alter(topic.new_name, changes)
