"""
A change of a topic, on its way to every broker: a controller answers before its brokers know.

Asked is every broker that can be reached, each for itself; on a cluster with TLS or a login it is the one that answers
librdkafka.
"""

import time
from collections.abc import Callable
from functools import partial

from broker.cli.cluster import REQUEST_SECONDS, Cluster
from broker.cli.nodes import Node
from broker.cli.output import print_note
from broker.cli.refused import Refused
from broker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse

_METADATA_VERSION = 4
_PAUSE_S = 0.05


def wait_until_known(cluster: Cluster, topic: str, partitions: int = 1) -> None:
    """
    Returns when every broker names *topic* with *partitions* at least, and a leader for each; with a note on standard
    error for those that do not within REQUEST_SECONDS.
    """
    cluster.forget_metadata()
    end = time.monotonic() + REQUEST_SECONDS
    if not cluster.is_plaintext:
        _wait({cluster.bootstrap: partial(_answering_node_knows, cluster, topic, partitions)}, topic, end)
        return
    nodes: dict[str, Node] = {}
    try:
        for broker in cluster.metadata().brokers.values():
            try:
                node = Node(str(broker.host), broker.port)
            except Refused:
                # One that is down learns of it when it comes back.
                continue
            nodes[node.address] = node
        _wait({name: partial(_knows, node, topic, partitions) for name, node in nodes.items()}, topic, end)
    finally:
        for node in nodes.values():
            node.close()


def _wait(knows: dict[str, Callable[[], bool]], topic: str, end: float) -> None:
    while knows := {name: ask for name, ask in knows.items() if not ask()}:
        if time.monotonic() > end:
            print_note(f"topic {topic} is made, but {', '.join(knows)} did not know it {REQUEST_SECONDS:g} s later")
            return
        time.sleep(_PAUSE_S)


def _knows(node: Node, topic: str, partitions: int) -> bool:
    request = MetadataRequest(topics=[MetadataRequestTopic(name=topic)], allow_auto_topic_creation=False)
    try:
        answer = node.ask(request, MetadataResponse, _METADATA_VERSION)
    except Refused:
        # It went down meanwhile.
        return True
    found = answer.topics[0]
    return (
        not found.error_code
        and len(found.partitions) >= partitions
        and all(each.leader_id >= 0 for each in found.partitions)
    )


def _answering_node_knows(cluster: Cluster, topic: str, partitions: int) -> bool:
    cluster.forget_metadata()
    found = cluster.metadata().topics.get(topic)
    return (
        found is not None
        and found.error is None
        and len(found.partitions) >= partitions
        and all(each.leader >= 0 for each in found.partitions.values())
    )
