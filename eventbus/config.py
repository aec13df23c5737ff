"""
What an operator sets, and nothing that a developer does: addresses, sizes, waits.

Source     environment variables EVENTBUS_<NAME>, or keyword arguments of `load_settings` (which win)
Errors     InvalidConfiguration: one sentence with the variable's name and the way out
"""

import difflib
import logging
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from urllib.parse import parse_qsl, unquote

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from eventbus.errors import InvalidConfiguration
from eventbus.kafka_options import fault_of

_log = logging.getLogger("eventbus.config")

_PREFIX = "EVENTBUS_"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")
_KAFKA_PORT = 9092
SESSION_SECONDS = 6.0
"""
How long an instance that says nothing keeps its partitions, unless the log's URL or the log itself says it: the least
that Apache Kafka allows, so that with a heartbeat and some work on top others have taken them over within ten seconds.
"""
_LEASE_SECONDS_MIN = 1.0

GroupProtocol = Literal["classic", "consumer"]
"""How members of a group share partitions: the one of every Kafka, or the one of KIP-848 (Kafka 4.0 and later)."""


@dataclass(frozen=True, slots=True)
class EmbeddedBroker:
    """`embedded:DIR`: the log server in its own process on this machine, shared by all services given the same DIR."""

    directory: Path
    """Absolute. The log is in `broker/` below it, a service's default database beside that."""


@dataclass(frozen=True, slots=True)
class KafkaCluster:
    """`kafka://host:port,host:port?option=value`: any cluster that speaks the Kafka protocol."""

    bootstrap: str
    """`host:port,host:port`, each with its port."""
    options: Mapping[str, str]
    """librdkafka's options, such as `security.protocol`; see `eventbus.kafka_options`."""


@dataclass(frozen=True, slots=True)
class LogInMemory:
    """`memory:` or `memory:NAME`: a log of this process, which ends with it. For tests."""

    name: str | None
    """All applications of the process that say the same name share the log; without one it is the application's own."""


class BrokerUrl:
    """Reads EVENTBUS_BROKER_URL."""

    @staticmethod
    def parse(url: str) -> EmbeddedBroker | KafkaCluster | LogInMemory:
        """
        `embedded:`, `embedded:DIR` (relative to the working directory, `~` is the user's home), `kafka://…` or
        `memory:NAME`.

        Raises ValueError with the reason and the way out.
        """
        scheme, colon, rest = url.partition(":")
        if colon and scheme == "embedded":
            # embedded:///var/lib/x is how people who think in URLs write a directory.
            path = rest.removeprefix("//")
            directory = Path(path).expanduser() if path else state_directory()
            return EmbeddedBroker(Path(os.path.abspath(directory)))  # noqa: PTH100  resolve() would follow links
        if colon and scheme == "kafka" and rest.startswith("//"):
            return _kafka_cluster(url)
        if colon and scheme == "memory":
            if rest.startswith("/"):
                raise ValueError(f"{url!r} looks like a place: a log in memory has a name at most, memory:NAME")
            return LogInMemory(rest or None)
        raise ValueError(f"{url!r} is neither embedded:DIR nor kafka://host:port,host:port (memory: for tests)")


def _kafka_cluster(url: str) -> KafkaCluster:
    # Not urlsplit: it has one host in mind, and newer ones refuse an IPv6 address behind another host.
    address, _, query = url.removeprefix("kafka://").partition("?")
    hosts, _, path = address.partition("/")
    if path or "#" in url:
        raise ValueError(
            f"'kafka://{address}' has more than hosts and options: write kafka://host:port,host:port?option=value"
        )
    servers: list[str] = []
    for server in unquote(hosts).split(","):
        found = _HOST.fullmatch(server)
        if found is None:
            # The server is not printed when it may hold a password.
            shown = "a user and a password (write ?sasl.username=…&sasl.password=…)" if "@" in server else repr(server)
            raise ValueError(f"the hosts of a kafka:// URL are host:port,host:port, without {shown}")
        port = int(found[2] or _KAFKA_PORT)
        if not 0 < port < 65_536:
            raise ValueError(f"{server!r} has no port: give a number from 1 to 65535")
        servers.append(f"{found[1]}:{port}")
    given = parse_qsl(query, keep_blank_values=True)
    options = dict(given)
    if len(options) < len(given):
        names = [name for name, _ in given]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the option {twice} is given twice")
    if (fault := fault_of(options)) is not None:
        raise ValueError(fault)
    return KafkaCluster(",".join(servers), MappingProxyType(options))


def state_directory() -> Path:
    """The absolute directory per user for what must outlive a process: `embedded:` without a directory."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "eventbus"
    configured = os.environ.get("XDG_STATE_HOME", "")
    # A relative XDG_STATE_HOME is to be ignored (XDG Base Directory Specification).
    root = Path(configured) if Path(configured).is_absolute() else Path.home() / ".local" / "state"
    return root / "eventbus"


class Settings(BaseSettings):
    """The settings of one service, read once when the application is built."""

    # An empty variable is how a compose file says "not set".
    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    service: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    """The application's name: the consumer group, the source of its events, the name of its default database."""
    broker_url: str = "embedded:"
    """Where the log is: `embedded:DIR` or `kafka://host:port,…?option=value`; `memory:` in a test."""
    database_url: str | None = None
    """
    `sqlite:///FILE` or `postgresql://…`; by default a file per service beside the embedded broker's data. `memory:` in
    a test, and there by default when the log is in memory.
    """
    instance_id: str | None = Field(default=None, min_length=1, max_length=200)
    """A name that this process keeps over restarts (a StatefulSet's pod name): its partitions wait for it."""
    group_protocol: GroupProtocol = "classic"
    """How the members of the service's groups share partitions; `consumer` is KIP-848's, of Kafka 4.0 and later."""
    partitions: int = Field(default=12, ge=1, le=10_000)
    """Partitions of the topics that the service creates."""
    replication: int | None = Field(default=None, ge=1, le=32)
    """
    Copies of each partition of the topics that the service creates; by default 3 with `min.insync.replicas=2` on a
    cluster of three brokers or more, and what the cluster gives on a smaller one.
    """
    create_topics: bool = True
    """
    Whether the service creates the topics that it needs; `false`: it says which are missing, and waits for whoever
    runs `eventbus topics apply`.
    """
    shutdown_seconds: float = Field(default=10.0, ge=0, le=3600)
    """How long a stop waits for handlers in flight."""
    database_wait_seconds: float = Field(default=5.0, gt=0, le=3600)
    """How long a transaction waits for a lock or a connection before the database counts as away."""

    inbox_kept_seconds: float = Field(default=604_800.0, ge=60, le=315_360_000)
    """
    How long the inbox remembers what was handled, at least: longer than any publisher's relay can be kept between the
    log's answer and its delete (its database away, or restored from a backup), since it publishes again after that.
    """

    @field_validator("broker_url")
    @classmethod
    def _readable_broker_url(cls, url: str) -> str:
        BrokerUrl.parse(url)
        return url

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("sqlite://", "postgresql://", "postgres://", "memory:")):
            # The URL itself may hold a password.
            raise ValueError("is neither sqlite:///FILE nor postgresql://user:password@host/database")
        return url

    @property
    def broker(self) -> EmbeddedBroker | KafkaCluster | LogInMemory:
        """The log's address, read from `broker_url`."""
        return BrokerUrl.parse(self.broker_url)

    @property
    def lease_seconds(self) -> float:
        """
        How long an instance that says nothing keeps its slots of the outbox: its session in the groups, where the URL
        says a shorter one than usual.
        """
        match self.broker:
            case KafkaCluster(_, options) if "session.timeout.ms" in options:
                session = int(options["session.timeout.ms"]) / 1000
                return min(SESSION_SECONDS, max(_LEASE_SECONDS_MIN, session))
            case EmbeddedBroker() | KafkaCluster() | LogInMemory():
                return SESSION_SECONDS

    @property
    def directory(self) -> Path:
        """Where this machine keeps what the service needs: the embedded broker's directory, else the user's."""
        match self.broker:
            case EmbeddedBroker(directory):
                return directory
            case KafkaCluster() | LogInMemory():
                return state_directory()

    @property
    def effective_database_url(self) -> str:
        """`database_url`, or the default file of this service. `sqlite:///` and an absolute path has four slashes."""
        if self.database_url is not None:
            return self.database_url
        match self.broker:
            case LogInMemory(name):
                # What has a name is found again with all that belongs to it, as in a directory of the embedded broker.
                return "memory:" if name is None else f"memory:{name}/{self.service}"
            case EmbeddedBroker() | KafkaCluster():
                return f"sqlite:///{self.directory / f'{self.service}.sqlite3'}"


def load_settings(service: str, **overrides: object) -> Settings:
    """
    Settings of *service* from the environment; *overrides* win, and one that is None counts as not given.

    Raises InvalidConfiguration.
    """
    _warn_of_misspelt_variables()
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings.model_validate({**given, "service": service})
    except ValidationError as error:
        raise InvalidConfiguration(_sentence(error, given)) from None


def _warn_of_misspelt_variables() -> None:
    known = {_PREFIX + name.upper() for name in Settings.model_fields}
    for variable in os.environ:
        if not variable.startswith(_PREFIX) or variable in known:
            continue
        # Only what is nearly a setting's name: others may have variables of this prefix too (EVENTBUS_APP).
        if similar := difflib.get_close_matches(variable, known, n=1, cutoff=0.9):
            _log.warning("%s is not a setting: is %s meant?", variable, similar[0])


def _sentence(error: ValidationError, given: Mapping[str, object]) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if name == "service":
        return f"The application's name {first['input']!r} is wrong: use letters, digits, dot, dash and underscore."
    place = f"The setting {name}" if name in given else _PREFIX + name.upper()
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        # The validators' own texts show the value where it holds no secret.
        joint = " " if reason.startswith("is ") else ": "
        return f"{place}{joint}{reason}" + ("" if reason.endswith("?") else ".")
    if first["type"] == "extra_forbidden":
        return f"{place} is no setting: there are {', '.join(sorted(Settings.model_fields))}."
    return f"{place} is {first['input']!r}: {reason[0].lower()}{reason[1:]}."
