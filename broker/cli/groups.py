"""`broker groups …`, but for the reset of offsets."""

from argparse import Namespace
from collections.abc import Mapping

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin._group import ConsumerGroupDescription

from broker.cli.at import cluster_of
from broker.cli.cluster import LATEST, REQUEST_SECONDS, Cluster, sounding_like
from broker.cli.output import JsonValue, Row, print_done, print_json, print_line, print_rows, print_table
from broker.cli.refused import Refused

_REST = frozenset({"EMPTY", "DEAD", "UNKNOWN"})


def list_groups(parsed: Namespace) -> int:
    cluster = cluster_of(parsed)
    there = _listed(cluster)
    rows: list[Row] = []
    for name in sorted(there):
        description = describe_group(cluster, name)
        rows.append(
            {"group": name, "state": _state(description), "type": there[name], "members": len(description.members)}
        )
    print_rows(rows, as_json=parsed.json, empty=f"There are no groups at {cluster.bootstrap}.")
    return 0


def describe_groups(parsed: Namespace) -> int:
    cluster = cluster_of(parsed)
    names: list[str] = parsed.groups
    descriptions = [find_group(cluster, name) for name in names]
    described: list[dict[str, JsonValue]] = []
    for name, description in zip(names, descriptions, strict=True):
        members = _member_rows(description)
        partitions = _partition_rows(cluster, name, description)
        lags = [row["lag"] for row in partitions if isinstance(row["lag"], int)]
        described.append(
            {
                "group": name,
                "state": _state(description),
                "assignor": description.partition_assignor,
                "lag": sum(lags),
                "members": members,
                "partitions": partitions,
            }
        )
        if not parsed.json:
            print_line(f"group {name}: {_state(description)}, {len(members)} members, lag {sum(lags)}")
            print_table(partitions, empty="  has committed nothing and reads nothing")
            if members:
                print_table(members)
    if parsed.json:
        print_json(described)
    return 0


def delete_groups(parsed: Namespace) -> int:
    cluster = cluster_of(parsed)
    names: list[str] = parsed.groups
    for name in names:
        refuse_active(find_group(cluster, name), "deleted")
    for name, future in cluster.admin.delete_consumer_groups(names, request_timeout=REQUEST_SECONDS).items():
        cluster.answer(future, f"group {name!r}")
    print_done({"deleted": names}, f"deleted: {', '.join(names)}", as_json=parsed.json)
    return 0


def find_group(cluster: Cluster, name: str) -> ConsumerGroupDescription:
    """The group of that name. Raises Refused, which names what sounds alike."""
    there = _listed(cluster)
    if name not in there:
        raise Refused(f"there is no group {name!r} at {cluster.bootstrap}{sounding_like(name, there)}")
    return describe_group(cluster, name)


def describe_group(cluster: Cluster, name: str) -> ConsumerGroupDescription:
    """Members and state; a group that is not there is DEAD or EMPTY."""
    futures = cluster.admin.describe_consumer_groups([name], request_timeout=REQUEST_SECONDS)
    return cluster.answer(futures[name], f"group {name!r}")


def refuse_active(description: ConsumerGroupDescription, wish: str) -> None:
    """Raises Refused while the group has members: they would go on with what they have in mind."""
    state = _state(description)
    if state not in _REST or description.members:
        who = ", ".join(sorted({f"{each.client_id} ({each.host})" for each in description.members})) or "nobody yet"
        raise Refused(
            f"group {description.group_id!r} is {state} with {len(description.members)} members ({who}); "
            f"stop its consumers first, then it can be {wish}"
        )


def committed_offsets(cluster: Cluster, name: str) -> dict[tuple[str, int], int]:
    """What the group has committed, by (topic, partition)."""
    request = ConsumerGroupTopicPartitions(name)
    futures = cluster.admin.list_consumer_group_offsets([request], request_timeout=REQUEST_SECONDS)
    places = cluster.answer(futures[name], f"group {name!r}").topic_partitions or []
    return {(each.topic, each.partition): each.offset for each in places if each.offset >= 0}


def _listed(cluster: Cluster) -> Mapping[str, str]:
    """The type of each group, by name."""
    listing = cluster.answer(cluster.admin.list_consumer_groups(request_timeout=REQUEST_SECONDS))
    return {each.group_id: each.type.name.lower() for each in listing.valid or ()}


def _state(description: ConsumerGroupDescription) -> str:
    return description.state.name


def _member_rows(description: ConsumerGroupDescription) -> list[dict[str, JsonValue]]:
    return [
        {
            "member": member.member_id,
            "client": member.client_id,
            "host": member.host,
            "instance": member.group_instance_id,
            "partitions": [f"{each.topic}-{each.partition}" for each in member.assignment.topic_partitions],
        }
        for member in description.members
    ]


def _partition_rows(cluster: Cluster, name: str, description: ConsumerGroupDescription) -> list[dict[str, JsonValue]]:
    committed = committed_offsets(cluster, name)
    owners = {
        (each.topic, each.partition): member.client_id
        for member in description.members
        for each in member.assignment.topic_partitions
    }
    there = cluster.metadata().topics
    keys = sorted({*committed, *owners})
    ends = cluster.offsets(
        LATEST,
        [TopicPartition(*key) for key in keys if key[0] in there and key[1] in there[key[0]].partitions],
        committed=True,
    )
    rows: list[dict[str, JsonValue]] = []
    for key in keys:
        at, end = committed.get(key), ends.get(key)
        rows.append(
            {
                "topic": key[0],
                "partition": key[1],
                "committed": at,
                "end": end,
                "lag": None if at is None or end is None else max(0, end - at),
                "client": owners.get(key),
            }
        )
    return rows
