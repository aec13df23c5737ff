"""KIP-848's groups, whose assignments the broker makes, and fetch sessions (KIP-227)."""

from collections.abc import Sequence
from typing import cast

from broker.wire.declaration import Message
from broker.wire.messages.consumer_groups import (
    ConsumerGroupDescribeRequest,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatRequestTopicPartitions,
    ConsumerGroupHeartbeatResponse,
)
from broker.wire.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic
from tests.interop.differential.building import batch, new_topic, produce
from tests.interop.differential.scenario import Ask, Build, Known, Learn, Scenario
from tests.interop.differential.scenarios.groups import commit, committed, deleted, described, listed

_FIRST, _SECOND, _RANGED = "AAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBA", "EEEEEEEEEEEEEEEEEEEEEA"
_STATIC, _RETURNED = "CCCCCCCCCCCCCCCCCCCCCA", "DDDDDDDDDDDDDDDDDDDDDA"


def beat(
    member: str,
    epoch: int | None = None,
    *,
    group: str = "g",
    topics: Sequence[str] | None = None,
    regex: str | None = None,
    owned: Sequence[int] | None = None,
    instance: str | None = None,
    assignor: str | None = None,
    rebalance_timeout_ms: int = -1,
) -> Build:
    """One heartbeat; *epoch* None is what the member was last told; *owned* are partitions of topic t."""

    def build(known: Known) -> ConsumerGroupHeartbeatRequest:
        return ConsumerGroupHeartbeatRequest(
            group_id=known.name(group) if group else "",
            member_id=member,
            member_epoch=known.number(f"{member}.generation") if epoch is None else epoch,
            instance_id=instance,
            rebalance_timeout_ms=rebalance_timeout_ms,
            subscribed_topic_names=None if topics is None else [known.name(topic) for topic in topics],
            subscribed_topic_regex=regex,
            server_assignor=assignor,
            topic_partitions=None
            if owned is None
            else [ConsumerGroupHeartbeatRequestTopicPartitions(topic_id=known.id("t"), partitions=owned)]
            if owned
            else [],
        )

    return build


def learn_beat(member: str) -> Learn:
    def learn(known: Known, answer: Message) -> None:
        told = cast("ConsumerGroupHeartbeatResponse", answer)
        if told.error_code == 0:
            known.values[member] = member
            known.values[f"{member}.generation"] = told.member_epoch

    return learn


def seen(*groups: str) -> Build:
    return lambda known: ConsumerGroupDescribeRequest(
        group_ids=[known.name(group) if group else "" for group in groups]
    )


CONSUMERS = Scenario(
    "consumer-groups",
    [
        *new_topic("t", 3),
        *new_topic("u", 1),
        Ask(beat(_FIRST, 0, group="", topics=["t"], owned=[], rebalance_timeout_ms=5000)),
        Ask(beat("", 0, topics=["t"], owned=[], rebalance_timeout_ms=5000), versions=[1]),
        Ask(beat(_FIRST, 0, owned=[], rebalance_timeout_ms=5000)),
        Ask(beat(_FIRST, 0, topics=["t"], rebalance_timeout_ms=5000)),
        Ask(beat(_FIRST, 0, topics=["t"], owned=[0], rebalance_timeout_ms=5000)),
        Ask(beat(_FIRST, 0, topics=["t"], owned=[])),
        Ask(beat(_FIRST, 0, topics=["t"], owned=[], rebalance_timeout_ms=5000, assignor="chess")),
        Ask(beat(_FIRST, 0, topics=["t"], owned=[], rebalance_timeout_ms=5000, instance="")),
        Ask(beat(_FIRST, 0, regex="(", owned=[], rebalance_timeout_ms=5000), versions=[1]),
        Ask(beat(_FIRST, -5, topics=["t"], owned=[], rebalance_timeout_ms=5000)),
        Ask(beat(_FIRST, 3)),
        Ask(beat(_FIRST, -1)),
        Ask(beat(_FIRST, -2), versions=[1]),
        Ask(seen("g", "nowhere", "")),
        Ask(beat(_FIRST, 0, topics=["t"], owned=[], rebalance_timeout_ms=5000), versions=[1], learn=learn_beat(_FIRST)),
        Ask(beat(_FIRST, owned=[0, 1, 2]), versions=[1], learn=learn_beat(_FIRST)),
        Ask(beat(_FIRST)),
        Ask(beat(_FIRST, 9)),
        Ask(seen("g")),
        Ask(described("g"), versions=[5, 6]),
        Ask(listed(types=["consumer"]), versions=[5]),
        Ask(commit("g", 5, member=_FIRST), versions=[9, 10]),
        Ask(commit("g", 5, member=_FIRST), versions=[8]),
        Ask(commit("g", 5, member=_FIRST, generation=99), versions=[9, 10]),
        Ask(commit("g", 5, member="stranger", generation=1), versions=[9, 10]),
        Ask(commit("g", 5), versions=[9]),
        Ask(committed("g"), versions=[7, 9]),
        Ask(
            beat(_SECOND, 0, topics=["t"], owned=[], rebalance_timeout_ms=5000), versions=[1], learn=learn_beat(_SECOND)
        ),
        Ask(beat(_SECOND), versions=[1], learn=learn_beat(_SECOND)),
        Ask(deleted("g")),
        Ask(beat(_FIRST, topics=[]), versions=[1], learn=learn_beat(_FIRST)),
        Ask(beat(_FIRST, owned=[]), versions=[1], learn=learn_beat(_FIRST)),
        Ask(beat(_SECOND), versions=[1], learn=learn_beat(_SECOND)),
        Ask(beat(_FIRST, -1), versions=[1]),
        Ask(beat(_SECOND, owned=[0, 1, 2]), versions=[1], learn=learn_beat(_SECOND)),
        Ask(seen("g")),
        Ask(beat(_SECOND, -1), versions=[0]),
        Ask(seen("g")),
        Ask(deleted("g"), versions=[2]),
        Ask(
            beat(_STATIC, 0, group="s", topics=["t"], owned=[], rebalance_timeout_ms=5000, instance="i"),
            versions=[1],
            learn=learn_beat(_STATIC),
        ),
        Ask(
            beat(_RETURNED, 0, group="s", topics=["t"], owned=[], rebalance_timeout_ms=5000, instance="i"),
            versions=[1],
        ),
        Ask(beat(_STATIC, -2, group="s", instance="i"), versions=[1]),
        Ask(
            beat(_RETURNED, 0, group="s", topics=["t"], owned=[], rebalance_timeout_ms=5000, instance="i"),
            versions=[1],
            learn=learn_beat(_RETURNED),
        ),
        Ask(beat(_STATIC, 1, group="s", instance="i"), versions=[1]),
        Ask(beat(_RETURNED, -1, group="s", instance="i"), versions=[1]),
        Ask(
            beat(
                _RANGED,
                0,
                group="r",
                topics=["t", "u"],
                owned=[],
                rebalance_timeout_ms=5000,
                assignor="range",
            ),
            versions=[1],
            learn=learn_beat(_RANGED),
        ),
        Ask(seen("r")),
        Ask(beat(_RANGED, -1, group="r"), versions=[1]),
    ],
)


def session(
    *partitions: int, epoch: int | None = None, topic: str = "t", forgotten: Sequence[int] = (), lost: bool = False
) -> Build:
    """A fetch within the remembered session; *epoch* None is the next one; *lost* names a session that nobody has."""

    def build(known: Known) -> FetchRequest:
        return FetchRequest(
            max_bytes=1 << 20,
            session_id=99 if lost else 0 if epoch == 0 else max(known.number("session"), 0),
            session_epoch=known.number("epoch") + 1 if epoch is None else epoch,
            topics=[
                FetchTopic(
                    topic=known.name(topic),
                    topic_id=known.id(topic),
                    partitions=[
                        FetchPartition(partition=index, fetch_offset=0, partition_max_bytes=1 << 20)
                        for index in partitions
                    ],
                )
            ]
            if partitions
            else [],
            forgotten_topics_data=[
                ForgottenTopic(topic=known.name(topic), topic_id=known.id(topic), partitions=forgotten)
            ]
            if forgotten
            else [],
        )

    return build


def _learn_session(known: Known, answer: Message) -> None:
    known.values["session"] = cast("FetchResponse", answer).session_id
    known.values["epoch"] = 0


def _learn_epoch(known: Known, answer: Message) -> None:
    if cast("FetchResponse", answer).error_code == 0:
        known.values["epoch"] = known.number("epoch") + 1


def _sessions(version: int) -> list[Ask]:
    only = [version]
    return [
        Ask(session(0, 1, epoch=0), versions=only, learn=_learn_session),
        Ask(session(), versions=only, learn=_learn_epoch),
        Ask(produce("t", batch(b"new")), versions=[9]),
        Ask(session(), versions=only, learn=_learn_epoch),
        Ask(session(2), versions=only, learn=_learn_epoch),
        Ask(session(forgotten=[0]), versions=only, learn=_learn_epoch),
        Ask(produce("t", batch(b"newer")), versions=[9]),
        Ask(session(), versions=only, learn=_learn_epoch),
        Ask(session(9), versions=only, learn=_learn_epoch),
        Ask(session(), versions=only, learn=_learn_epoch),
        Ask(session(epoch=77), versions=only),
        Ask(session(epoch=1, lost=True), versions=only),
        Ask(session(0, epoch=-1), versions=only),
        Ask(session(epoch=1), versions=only),
    ]


SESSIONS = Scenario(
    "fetch-sessions",
    [
        *new_topic("t", 3),
        Ask(produce("t", batch(b"old")), versions=[9]),
        *(ask for version in (7, 11, 12, 13, 16, 18) for ask in _sessions(version)),
    ],
)

SCENARIOS = [CONSUMERS, SESSIONS]
