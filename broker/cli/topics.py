"""`broker topics …`"""

from argparse import Namespace

from confluent_kafka import TopicPartition
from confluent_kafka.cimpl import NewPartitions, NewTopic

from broker.cli.at import cluster_of, pairs
from broker.cli.cluster import EARLIEST, LATEST, REQUEST_SECONDS, Cluster
from broker.cli.configs import changed_configs
from broker.cli.nodes import Node
from broker.cli.output import JsonValue, Row, print_done, print_json, print_line, print_rows, print_table
from broker.cli.places import Beginning, UnreadablePlace, parse_place
from broker.cli.positions import resolve
from broker.cli.refused import Refused
from broker.cli.spread import wait_until_known
from broker.wire.messages.cluster import DescribableLogDirTopic, DescribeLogDirsRequest, DescribeLogDirsResponse

_LOG_DIRS_VERSION = 2


def list_topics(parsed: Namespace) -> int:
    cluster = cluster_of(parsed)
    shows_internal: bool = parsed.internal
    topics = cluster.metadata().topics
    names = sorted(name for name in topics if shows_internal or not name.startswith("__"))
    partitions = [place for name in names for place in cluster.partitions(name)]
    starts, ends = cluster.offsets(EARLIEST, partitions), cluster.offsets(LATEST, partitions)
    offsets = dict.fromkeys(names, 0)
    for place, end in ends.items():
        offsets[place[0]] += end - starts[place]
    rows: list[Row] = [
        {
            "topic": name,
            "partitions": len(topics[name].partitions),
            "replicas": len(topics[name].partitions[0].replicas),
            "offsets": offsets[name],
        }
        for name in names
    ]
    print_rows(rows, as_json=parsed.json, empty=f"There are no topics at {cluster.bootstrap}.")
    return 0


def describe_topics(parsed: Namespace) -> int:
    cluster = cluster_of(parsed)
    names: list[str] = parsed.topics
    described: list[dict[str, JsonValue]] = []
    for name in names:
        partitions = _partition_rows(cluster, name)
        configs = changed_configs(cluster, "topic", name)
        described.append({"topic": name, "partitions": partitions, "configs": configs})
        if not parsed.json:
            print_line(f"topic {name}")
            print_table(partitions)
            if configs:
                print_line("configs of its own")
                print_table([{"config": key, "value": value} for key, value in configs.items()])
    if parsed.json:
        print_json(described)
    return 0


def _partition_rows(cluster: Cluster, topic: str) -> list[dict[str, JsonValue]]:
    found = cluster.topic(topic)
    places = cluster.partitions(topic)
    starts, ends = cluster.offsets(EARLIEST, places), cluster.offsets(LATEST, places)
    stable = cluster.offsets(LATEST, places, committed=True)
    sizes = _sizes(cluster, topic)
    return [
        {
            "partition": number,
            "start": starts[topic, number],
            "stable": stable[topic, number],
            "end": ends[topic, number],
            "bytes": sizes.get(number),
            "leader": found.partitions[number].leader,
            "replicas": list(found.partitions[number].replicas),
            "in_sync": list(found.partitions[number].isrs),
        }
        for number in sorted(found.partitions)
    ]


def _sizes(cluster: Cluster, topic: str) -> dict[int, int]:
    """Bytes of each partition, as its leader tells them; none where the cluster wants TLS or a login."""
    if not cluster.is_plaintext:
        return {}
    metadata = cluster.metadata()
    sizes: dict[int, int] = {}
    for number, node in metadata.brokers.items():
        led = [each.id for each in cluster.topic(topic).partitions.values() if each.leader == number]
        if not led:
            continue
        request = DescribeLogDirsRequest(topics=[DescribableLogDirTopic(topic=topic, partitions=led)])
        with Node(str(node.host), node.port) as asked:
            answer = asked.ask(request, DescribeLogDirsResponse, _LOG_DIRS_VERSION)
        for directory in answer.results:
            for found in directory.topics:
                sizes.update((each.partition_index, each.partition_size) for each in found.partitions)
    return sizes


def create_topic(parsed: Namespace) -> int:
    cluster = cluster_of(parsed)
    topic: str = parsed.topic
    partitions: int | None = parsed.partitions
    replicas: int | None = parsed.replication_factor
    if topic in cluster.metadata().topics:
        raise Refused(f"topic {topic!r} is there already; `broker topics describe {topic}` shows it")
    new = NewTopic(
        topic,
        num_partitions=-1 if partitions is None else partitions,
        replication_factor=-1 if replicas is None else replicas,
        config=pairs(parsed.config),
    )
    try:
        futures = cluster.admin.create_topics([new], request_timeout=REQUEST_SECONDS)
    except ValueError as error:
        raise Refused(f"topic {topic!r}: {error}") from error
    cluster.answer(futures[topic], f"topic {topic!r}")
    wait_until_known(cluster, topic)
    print_done({"created": topic}, f"topic {topic} created", as_json=parsed.json)
    return 0


def delete_topics(parsed: Namespace) -> int:
    cluster = cluster_of(parsed)
    topics: list[str] = parsed.topics
    for topic in topics:
        cluster.topic(topic)
    for topic, future in cluster.admin.delete_topics(topics, request_timeout=REQUEST_SECONDS).items():
        cluster.answer(future, f"topic {topic!r}")
    print_done({"deleted": topics}, f"deleted: {', '.join(topics)}", as_json=parsed.json)
    return 0


def add_partitions(parsed: Namespace) -> int:
    cluster = cluster_of(parsed)
    topic: str = parsed.topic
    total: int = parsed.total
    there = len(cluster.partitions(topic))
    if total <= there:
        raise Refused(f"topic {topic!r} has {there} partitions already, so TOTAL has to be more; there is no way back")
    futures = cluster.admin.create_partitions([NewPartitions(topic, total)], request_timeout=REQUEST_SECONDS)
    cluster.answer(futures[topic], f"topic {topic!r}")
    wait_until_known(cluster, topic, total)
    print_done(
        {"topic": topic, "partitions": total, "was": there},
        f"topic {topic} has {total} partitions now, it had {there}",
        as_json=parsed.json,
    )
    return 0


def delete_records(parsed: Namespace) -> int:
    cluster = cluster_of(parsed)
    topic: str = parsed.topic
    try:
        place = parse_place(parsed.before)
    except UnreadablePlace as error:
        raise Refused(f"--before: {error}") from error
    if isinstance(place, Beginning):
        raise Refused("--before beginning: there is nothing before the beginning")
    partitions = cluster.partitions(topic, parsed.partition)
    starts = cluster.offsets(EARLIEST, partitions)
    before = resolve(cluster, partitions, place)
    wanted = [TopicPartition(*key, offset) for key, offset in before.items() if offset > starts[key]]
    now = dict(starts)
    if wanted:
        for deleted, future in cluster.admin.delete_records(wanted, request_timeout=REQUEST_SECONDS).items():
            now[deleted.topic, deleted.partition] = cluster.answer(future, f"topic {topic!r}").low_watermark
    rows = [{"partition": key[1], "start_was": starts[key], "start": now[key]} for key in sorted(before)]
    print_rows(rows, as_json=parsed.json, empty="")
    return 0
