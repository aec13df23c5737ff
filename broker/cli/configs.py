"""`broker configs …`"""

from argparse import Namespace
from collections.abc import Mapping, Sequence

from confluent_kafka import KafkaException
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource, ConfigSource
from confluent_kafka.admin._resource import ResourceType

from broker.cli.at import cluster_of, pairs
from broker.cli.cluster import REQUEST_SECONDS, Cluster, ConfigLine, sounding_like
from broker.cli.output import JsonValue, print_done, print_rows
from broker.cli.refused import Refused

_KINDS = {"topic": ResourceType.TOPIC, "broker": ResourceType.BROKER, "group": ResourceType.GROUP}
_SOURCES = {source.value: source.name.lower().removesuffix("_config") for source in ConfigSource}
_STATED_FOR_ITSELF = {
    ConfigSource.DYNAMIC_TOPIC_CONFIG.value,
    ConfigSource.DYNAMIC_BROKER_CONFIG.value,
    ConfigSource.GROUP_CONFIG.value,
}


def show_configs(parsed: Namespace) -> int:
    cluster = cluster_of(parsed)
    kind, name = _resource(cluster, parsed)
    lines = read_configs(cluster, kind, name)
    shows_all: bool = parsed.all
    rows: list[dict[str, JsonValue]] = [
        {
            "": "" if line.is_default else "*",
            "config": key,
            "value": "(hidden)" if line.is_sensitive else line.value,
            "from": _SOURCES.get(line.source, "unknown"),
            "read_only": line.is_read_only,
        }
        for key, line in sorted(lines.items())
        if shows_all or not line.is_default
    ]
    if parsed.json:
        for row in rows:
            row["is_default"] = row.pop("") == ""
    print_rows(rows, as_json=parsed.json, empty=f"Every config of {kind} {name} has its default; --all shows them.")
    return 0


def set_configs(parsed: Namespace) -> int:
    cluster = cluster_of(parsed)
    kind, name = _resource(cluster, parsed)
    wanted = pairs(parsed.settings)
    there = read_configs(cluster, kind, name)
    _check_known(wanted, there, kind, name)
    _alter(
        cluster,
        kind,
        name,
        [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in wanted.items()],
    )
    before = {key: there[key].value for key in wanted if key in there}
    changes = ", ".join(f"{key}={value} (was {before.get(key)})" for key, value in wanted.items())
    print_done(
        {"kind": kind, "name": name, "set": wanted, "was": before}, f"{kind} {name}: {changes}", as_json=parsed.json
    )
    return 0


def unset_configs(parsed: Namespace) -> int:
    cluster = cluster_of(parsed)
    kind, name = _resource(cluster, parsed)
    keys: list[str] = parsed.keys
    there = read_configs(cluster, kind, name)
    _check_known(keys, there, kind, name)
    _alter(
        cluster, kind, name, [ConfigEntry(key, None, incremental_operation=AlterConfigOpType.DELETE) for key in keys]
    )
    now = read_configs(cluster, kind, name)
    values = {key: now[key].value if key in now else None for key in keys}
    changes = ", ".join(f"{key} is {value} again" for key, value in values.items())
    print_done(
        {"kind": kind, "name": name, "unset": keys, "now": values}, f"{kind} {name}: {changes}", as_json=parsed.json
    )
    return 0


def changed_configs(cluster: Cluster, kind: str, name: str) -> dict[str, str | None]:
    """The configs that were given to just this resource."""
    lines = read_configs(cluster, kind, name)
    return {key: line.value for key, line in sorted(lines.items()) if line.source in _STATED_FOR_ITSELF}


def read_configs(cluster: Cluster, kind: str, name: str) -> Mapping[str, ConfigLine]:
    """All configs of a resource, by name. Raises Refused."""
    resource = ConfigResource(_KINDS[kind], name)
    futures = cluster.admin.describe_configs([resource], request_timeout=REQUEST_SECONDS)
    return cluster.answer(futures[resource], f"{kind} {name}")


def _alter(cluster: Cluster, kind: str, name: str, entries: Sequence[ConfigEntry]) -> None:
    resource = ConfigResource(_KINDS[kind], name, incremental_configs=list(entries))
    try:
        futures = cluster.admin.incremental_alter_configs([resource], request_timeout=REQUEST_SECONDS)
    except (KafkaException, ValueError) as error:
        raise Refused(f"{kind} {name}: {error}") from error
    cluster.answer(futures[resource], f"{kind} {name}")


def _resource(cluster: Cluster, parsed: Namespace) -> tuple[str, str]:
    """Kind and name, checked. A broker may go without a name when there is only one."""
    kind: str = parsed.kind
    name: str = parsed.name
    brokers = cluster.metadata().brokers
    if kind == "topic":
        cluster.topic(name)
    elif kind == "broker" and name not in {str(number) for number in brokers}:
        known = ", ".join(str(number) for number in sorted(brokers))
        raise Refused(f"there is no broker {name!r} at {cluster.bootstrap}; there are: {known}")
    return kind, name


def _check_known(
    keys: "Mapping[str, str] | Sequence[str]", there: Mapping[str, ConfigLine], kind: str, name: str
) -> None:
    for key in keys:
        if key not in there:
            raise Refused(f"{kind} {name} has no config {key!r}{sounding_like(key, there)}")
