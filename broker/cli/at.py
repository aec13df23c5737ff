"""From the command line to the cluster that it names."""

from argparse import Namespace
from collections.abc import Sequence

from broker.cli.cluster import Cluster
from broker.cli.refused import Refused
from broker.config import InvalidConfig, parse_assignment


def cluster_of(parsed: Namespace) -> Cluster:
    """The cluster at --bootstrap, connected. Raises Refused."""
    return Cluster(parsed.bootstrap, pairs(parsed.client))


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """KEY=VALUE, each. Raises Refused."""
    try:
        return dict(parse_assignment(text) for text in texts)
    except InvalidConfig as error:
        raise Refused(str(error)) from error
