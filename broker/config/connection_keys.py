"""Broker keys: where it is, who may connect, and how much they may ask for at once."""

from dataclasses import dataclass

from broker.config.keys import ConfigType, integer, text

_LONG = ConfigType.LONG
_MEBI = 1024 * 1024


@dataclass(frozen=True, kw_only=True, eq=False, repr=False, init=False)
class ConnectionKeys:
    """Where the broker is, and what a connection may do."""

    # where it is
    listeners: str = text(
        "listeners",
        "PLAINTEXT://127.0.0.1:9092",
        kafka_default="PLAINTEXT://:9092",
        documentation="Where the broker listens, as PLAINTEXT://HOST:PORT; --listen sets it. Port 0 takes a free one. "
        "Loopback unless told otherwise: nothing here asks a client who it is.",
    )
    advertised_listeners: str = text(
        "advertised.listeners",
        "",
        documentation="The address that clients are told, as PLAINTEXT://HOST:PORT; --advertise sets it. "
        "Empty: the address listened on.",
    )
    log_dirs: str = text(
        "log.dirs",
        "",
        documentation="The one directory that holds everything; --data-dir sets it. Unset: log.dir.",
    )
    log_dir: str = text(
        "log.dir",
        "",
        kafka_default="/tmp/kafka-logs",  # noqa: S108 (told, not used)
        documentation="Stands in for log.dirs when that is not set.",
    )
    node_id: int = integer(
        "node.id", 1, at_least=0, documentation="The id by which clients know this broker. Unset: broker.id."
    )
    broker_id: int = integer(
        "broker.id", -1, at_least=-1, documentation="Stands in for node.id when that is not set, unless it is -1."
    )

    # connections
    socket_request_max_bytes: int = integer(
        "socket.request.max.bytes",
        100 * _MEBI,
        at_least=1,
        documentation="The largest frame; a larger one closes its connection.",
    )
    queued_max_request_bytes: int = integer(
        "queued.max.request.bytes",
        512 * _MEBI,
        kind=_LONG,
        at_least=1,
        kafka_default=-1,
        documentation="Memory for requests that are being received, over all connections, and as much for answers that "
        "are not sent yet: above it a frame of more than 64 KiB waits for room, and a connection with unsent answers "
        "reads no more.",
    )
    connections_max_idle_ms: int = integer(
        "connections.max.idle.ms",
        600_000,
        kind=_LONG,
        documentation="A connection on which nothing happened for so long is closed; -1 keeps it.",
    )
    max_connections: int = integer(
        "max.connections", 10_000, at_least=0, kafka_default=2**31 - 1, documentation="Connections at the same time."
    )
    max_connections_per_ip: int = integer(
        "max.connections.per.ip",
        2**31 - 1,
        at_least=0,
        documentation="Connections at the same time from one address.",
    )
    socket_listen_backlog_size: int = integer(
        "socket.listen.backlog.size",
        50,
        at_least=1,
        documentation="Connections that wait to be accepted.",
    )
    max_in_flight_requests_per_connection: int = integer(
        "max.in.flight.requests.per.connection",
        1_000,
        at_least=1,
        ours=True,
        documentation="Requests of one connection that wait for their answers; at so many it is not read until half of "
        "them are answered.",
    )
    connection_unsent_max_bytes: int = integer(
        "connection.unsent.max.bytes",
        64 * _MEBI,
        kind=_LONG,
        at_least=1,
        ours=True,
        documentation="Answers that one connection does not take; at so many bytes it is not read until half of them "
        "are sent.",
    )
    max_parked_fetches: int = integer(
        "max.parked.fetches",
        20_000,
        at_least=0,
        ours=True,
        documentation="Fetches that wait for data at the same time; a further one is answered at once with what there "
        "is, and its client told to wait a second (throttle_time_ms).",
    )
    fetch_max_bytes: int = integer(
        "fetch.max.bytes",
        55 * _MEBI,
        at_least=1024,
        documentation="The most bytes in one answer to a fetch; one batch may exceed it (KIP-74).",
    )
    max_incremental_fetch_session_cache_slots: int = integer(
        "max.incremental.fetch.session.cache.slots",
        1000,
        at_least=0,
        documentation="Fetch sessions at the same time (KIP-227).",
    )
