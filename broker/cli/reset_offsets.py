"""`broker groups reset-offsets`: where a group is to go on. A dry run unless --execute."""

import re
from argparse import Namespace
from collections.abc import Sequence

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from broker.cli.at import cluster_of
from broker.cli.cluster import EARLIEST, LATEST, REQUEST_SECONDS, Cluster
from broker.cli.groups import committed_offsets, describe_group, refuse_active
from broker.cli.output import Row, print_json, print_note, print_table
from broker.cli.places import AtOffset, AtTime, Beginning, End, Place, UnreadablePlace, parse_time
from broker.cli.positions import Offsets, resolve, within
from broker.cli.refused import Refused

Shift = int


def reset_offsets(parsed: Namespace) -> int:
    target = _target(parsed)
    cluster = cluster_of(parsed)
    name: str = parsed.group
    # A group that is not there yet may be given its first offsets.
    refuse_active(describe_group(cluster, name), "reset")
    committed = committed_offsets(cluster, name)
    partitions = _partitions(cluster, parsed, committed)
    if not partitions:
        raise Refused(f"group {name!r} has committed nothing at {cluster.bootstrap}; name the topics with --topic")
    wanted = _shifted(cluster, partitions, committed, target) if isinstance(target, Shift) else None
    offsets = resolve(cluster, partitions, target) if wanted is None and not isinstance(target, Shift) else wanted or {}
    executes: bool = parsed.execute
    if executes:
        places = [TopicPartition(*key, offset) for key, offset in offsets.items()]
        request = ConsumerGroupTopicPartitions(name, places)
        futures = cluster.admin.alter_consumer_group_offsets([request], request_timeout=REQUEST_SECONDS)
        for place in cluster.answer(futures[name], f"group {name!r}").topic_partitions or ():
            if place.error is not None:
                raise Refused(f"group {name!r}, {place.topic}-{place.partition}: {place.error.str()}")
    rows: list[Row] = [
        {"topic": key[0], "partition": key[1], "committed": committed.get(key), "reset_to": offset}
        for key, offset in sorted(offsets.items())
    ]
    if parsed.json:
        print_json({"group": name, "executed": executes, "offsets": rows})
    else:
        print_table(rows)
    print_note(f"group {name} was reset" if executes else "nothing was changed; --execute does it")
    return 0


def _partitions(cluster: Cluster, parsed: Namespace, committed: Offsets) -> list[TopicPartition]:
    topics: list[str] = parsed.topic
    if not topics:
        there = cluster.metadata().topics
        return [TopicPartition(*key) for key in sorted(committed) if key[0] in there]
    partitions: list[TopicPartition] = []
    for text in topics:
        topic, _, numbers = text.partition(":")
        if numbers and not re.fullmatch(r"\d+(,\d+)*", numbers):
            raise Refused(f"--topic {text}: expected TOPIC, or TOPIC:PARTITION,… as in orders:0,1")
        partitions += cluster.partitions(topic, [int(each) for each in numbers.split(",")] if numbers else ())
    return partitions


def _target(parsed: Namespace) -> Place | Shift:
    if parsed.to_earliest:
        return Beginning()
    if parsed.to_latest:
        return End()
    offset: int | None = parsed.to_offset
    if offset is not None:
        return AtOffset(offset)
    time: str | None = parsed.to_time
    if time is not None:
        try:
            return AtTime(int(time) if re.fullmatch(r"\d{10,}", time) else parse_time(time))
        except UnreadablePlace as error:
            raise Refused(f"--to-time: {error}") from error
    shift: int = parsed.shift_by
    return shift


def _shifted(cluster: Cluster, partitions: Sequence[TopicPartition], committed: Offsets, shift: Shift) -> Offsets:
    starts, ends = cluster.offsets(EARLIEST, partitions), cluster.offsets(LATEST, partitions)
    missing = [f"{key[0]}-{key[1]}" for key in starts if key not in committed]
    if missing:
        raise Refused(f"--shift-by: nothing is committed for {', '.join(missing)}; use --to-earliest or --to-latest")
    return {key: within(committed[key] + shift, start, ends[key]) for key, start in starts.items()}
