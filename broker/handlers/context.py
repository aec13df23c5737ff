"""What a handler is given beside its request: the broker's state, and who asks."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import cast

from broker.clock import Clock
from broker.config import BrokerConfig
from broker.delayed import Purgatory
from broker.groups import GroupCoordinator
from broker.handlers.fetch_sessions import FetchSessions
from broker.handlers.pending import Deferred
from broker.limits import LimitLog
from broker.storage import FileSystem
from broker.topics import Background, Catalog, FlushGroup
from broker.transactions import TransactionCoordinator
from broker.wire.apis import Api, ApiKey
from broker.wire.declaration import Request, Response


class ConnectionMustClose(Exception):
    """The request has no answer, or none fits: the client learns of it by the end of its connection."""


@dataclass(slots=True)
class BrokerState:
    """Everything that handlers read and change. One thread."""

    node_id: int
    cluster_id: str
    host: str
    """The host and port that clients are told to connect to."""
    port: int
    config: BrokerConfig
    clock: Clock
    files: FileSystem
    data_dir: Path
    catalog: Catalog
    groups: GroupCoordinator
    transactions: TransactionCoordinator
    fetches: Purgatory
    """Parked fetches, under the partitions that they wait for."""
    flushes: FlushGroup
    background: Background
    fetch_sessions: FetchSessions = field(init=False)
    limits: LimitLog = field(default_factory=LimitLog)
    stopping: bool = False
    errors: dict[tuple[ApiKey, int], int] = field(default_factory=dict[tuple[ApiKey, int], int])
    """Error codes in answers and in the partitions of produce and fetch, counted since the start."""

    def __post_init__(self) -> None:
        self.fetch_sessions = FetchSessions(self.clock, self.config.max_incremental_fetch_session_cache_slots)

    def count_error(self, api: ApiKey, code: int) -> None:
        self.errors[api, code] = self.errors.get((api, code), 0) + 1


@dataclass(slots=True)
class RequestContext:
    """One request's surroundings."""

    broker: BrokerState
    version: int
    client_id: str
    client_host: str
    owner: Hashable
    """The connection: what is parked for it is detached when it closes."""


Answer = Response | Deferred[Response] | None
"""None: the request has no answer (acks=0)."""


class ApiHandler:
    """
    A row of the table: an API and the function that serves it, given as MODULE:FUNCTION of this package. It is imported
    at the first request, or by `load`, because a start need not wait for it.
    """

    __slots__ = ("_place", "api", "handle")

    handle: Callable[[RequestContext, Request], Answer]

    def __init__(self, api: Api, place: str) -> None:
        self.api = api
        self._place = place
        self.handle = self._first

    @property
    def key(self) -> ApiKey:
        return self.api.key

    def load(self) -> None:
        """Imports the function now."""
        module, _, function = self._place.partition(":")
        found: object = getattr(import_module(f"{__package__}.{module}"), function)
        # The dispatcher decodes each request to the class that belongs to its key, so it gets what it declares.
        self.handle = cast("Callable[[RequestContext, Request], Answer]", found)

    def _first(self, context: RequestContext, request: Request) -> Answer:
        self.load()
        return self.handle(context, request)
