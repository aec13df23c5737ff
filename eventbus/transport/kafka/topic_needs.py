"""
What a service needs of its topics, and how what is there differs.

    partitions   more or fewer than configured: a key's records would be in two partitions if they were added, so they
                 are not; the way is another topic
    replicas     fewer than wanted: the cluster's own tools move replicas
    settings     those that lose records, or acknowledge what one broker's death can lose
"""

from collections.abc import Mapping
from dataclasses import dataclass

from eventbus.transport.kafka.administration import ClusterAdministration, TopicRequest, TopicState
from eventbus.transport.kafka.replication import Replication


@dataclass(frozen=True, slots=True)
class TopicFinding:
    """
    One topic, as it is to be and as it is; `state` None: it is missing.

    settings   those that differ, as they are to be: `apply` can set them
    faults     what `apply` cannot change, each with the way out
    """

    topic: str
    need: TopicRequest
    state: TopicState | None
    settings: Mapping[str, str]
    faults: tuple[str, ...]

    @property
    def is_met(self) -> bool:
        """Whether the topic is as the service needs it."""
        return self.state is not None and not self.settings and not self.faults


def topic_findings(
    cluster: ClusterAdministration, topics: Mapping[str, int], settings: Mapping[str, str], replication: int | None
) -> list[TopicFinding]:
    """Compares *topics*, given with their partitions, with what the cluster has."""
    wanted = Replication.on(cluster.brokers(), replication)
    found = cluster.topics(sorted(topics))
    return [
        _finding(topic, TopicRequest(topics[topic], wanted.replicas, {**settings, **wanted.configs}), found.get(topic))
        for topic in sorted(topics)
    ]


def _finding(topic: str, need: TopicRequest, state: TopicState | None) -> TopicFinding:
    if state is None:
        return TopicFinding(topic, need, None, {}, ())
    faults: list[str] = []
    if state.partitions != need.partitions:
        words = f"has {state.partitions} partitions, not {need.partitions}: "
        if state.partitions < need.partitions:
            new = f"{topic}-{need.partitions}"
            words += (
                "adding some would send a key's later records to another partition than its earlier ones, and break "
                f"their order. Set EVENTBUS_PARTITIONS={state.partitions}, or move it to a new topic: let every "
                "consumer read to the end, stop every service that reads or writes it, run eventbus migrate --from "
                f'"$EVENTBUS_BROKER_URL" --to "$EVENTBUS_BROKER_URL" --topic {topic}={new} --partitions '
                f"{need.partitions} (and --app MODULE:ATTRIBUTE for each of them), then name topic {new} in the code"
            )
        else:
            words += f"set EVENTBUS_PARTITIONS={state.partitions}; partitions cannot be taken away"
        faults.append(words)
    if need.replicas is not None and state.replicas < need.replicas:
        faults.append(
            f"has {state.replicas} replicas, not {need.replicas}: let the cluster's tools move them "
            "(kafka-reassign-partitions), or set EVENTBUS_REPLICATION"
        )
    wanted = {**need.configs, "cleanup.policy": "delete"}
    differs = {name: value for name, value in wanted.items() if state.effective.get(name) != value}
    return TopicFinding(topic, need, state, differs, tuple(faults))
