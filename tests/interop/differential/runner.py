"""Plays a scenario to two brokers, step by step, and gathers what differs."""

import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.errors import ProtocolError
from broker.wire.apis import APIS, ApiKey
from broker.wire.declaration import Message, Request
from broker.wire.frame import decode_response
from broker.wire.messages import response_class
from broker.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from tests.interop.differential.comparison import Difference, Identities, compare
from tests.interop.differential.scenario import Ask, Drop, Known, Pause, Raw, Receive, Scenario, Settle
from tests.servers.raw_client import RawClient

ANSWER_SECONDS_MAX = 8.0
SETTLE_SECONDS_MAX = 20.0
Ranges = Mapping[ApiKey, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference, and the request that showed it."""

    scenario: str
    step: int
    api: str
    version: int
    difference: Difference
    request: object

    def __str__(self) -> str:
        return f"step {self.step}, {self.api} v{self.version}: {self.difference}\n    asked {self.request!r:.900}"


@dataclass(slots=True)
class Side:
    """One broker in one scenario: its connections, and what it has told."""

    host: str
    port: int
    known: Known
    clients: dict[str, RawClient] = field(default_factory=dict)
    waiting: dict[str, tuple[int, type[Message], float]] = field(default_factory=dict)

    def client(self, connection: str) -> RawClient:
        if connection not in self.clients:
            self.clients[connection] = RawClient(self.host, self.port, timeout=ANSWER_SECONDS_MAX)
        return self.clients[connection]

    def send(self, request: Request, version: int, connection: str) -> None:
        self.client(connection).send(request, version)
        self.waiting[connection] = (version, response_class(request.api.key), time.monotonic() + ANSWER_SECONDS_MAX)

    def receive(self, connection: str, seconds_max: float | None = None) -> Message | str:
        """The answer, or in words why there is none."""
        version, declared, deadline = self.waiting.pop(connection)
        left = deadline - time.monotonic() if seconds_max is None else seconds_max
        self.client(connection).socket.settimeout(max(left, 0.1))
        try:
            frame = self.client(connection).receive_frame()
        except (EOFError, ConnectionError):
            self.drop(connection)
            return "connection closed"
        except TimeoutError:
            self.drop(connection)
            return "no answer"
        try:
            return decode_response(declared, version, frame)[1]
        except ProtocolError as error:
            return f"undecodable: {error}"

    def drop(self, connection: str) -> None:
        client = self.clients.pop(connection, None)
        if client is not None:
            client.close()

    def close(self) -> None:
        for connection in list(self.clients):
            self.drop(connection)


@dataclass(slots=True)
class Runner:
    """Two brokers, ours first; ids stay matched over all scenarios, and every asked version is kept in *asked*."""

    ours: tuple[str, int]
    theirs: tuple[str, int]
    identities: Identities = field(default_factory=Identities)
    asked: dict[tuple[ApiKey, int], int] = field(default_factory=dict)
    played: set[str] = field(default_factory=set)
    ranges: Ranges = field(default_factory=dict)

    def __post_init__(self) -> None:
        ours, theirs = (_ranges(*address) for address in (self.ours, self.theirs))
        self.ranges = {
            key: (max(ours[key][0], theirs[key][0], APIS[key].lowest), min(ours[key][1], theirs[key][1]))
            for key in ours
            if key in theirs
        }

    def play(self, scenario: Scenario) -> list[Finding]:
        """Every difference between both brokers' answers."""
        sides = [Side(host, port, Known(scenario.name, port=port)) for host, port in (self.ours, self.theirs)]
        findings: list[Finding] = []
        try:
            for number, step in enumerate(scenario.steps):
                match step:
                    case Ask():
                        self._ask(number, step, sides, findings)
                    case Receive():
                        self._receive(number, step, sides, findings, step)
                    case Settle():
                        for side in sides:
                            self._settle(step, side)
                    case Raw():
                        self._raw(number, step, sides, findings)
                    case Pause():
                        time.sleep(step.seconds)
                    case Drop():
                        for side in sides:
                            side.waiting.pop(step.connection, None)
                            side.drop(step.connection)
        finally:
            for side in sides:
                side.close()
        self.played.add(scenario.name)
        return findings

    def _ask(self, number: int, step: Ask, sides: list[Side], findings: list[Finding]) -> None:
        api = step.build(sides[0].known).api
        if api.key not in self.ranges:
            return  # not served yet: what is not advertised is not asked
        lowest, highest = self.ranges[api.key]
        versions = range(lowest, highest + 1) if step.versions is None else step.versions
        for version in versions:
            if not lowest <= version <= highest:
                continue
            self.asked[api.key, version] = self.asked.get((api.key, version), 0) + 1
            request: Request | None = None
            for side in reversed(sides):
                side.known.version = version
                request = step.build(side.known)
                side.send(request, version, step.connection)
            if not step.answered:
                for side in sides:
                    side.waiting.pop(step.connection)
            elif step.wait:
                self._receive(number, Receive(step.connection, step.learn), sides, findings, request)

    def _receive(self, number: int, step: Receive, sides: list[Side], findings: list[Finding], request: object) -> None:
        if step.connection not in sides[0].waiting:
            return
        version, declared, _ = sides[0].waiting[step.connection]
        ours, theirs = (side.receive(step.connection, step.seconds_max) for side in sides)
        findings += [
            Finding(sides[0].known.scenario, number, declared.api.name, version, difference, request)
            for difference in compare(ours, theirs, version, self.identities)
        ]
        if step.learn is not None:
            for side, answer in zip(sides, (ours, theirs), strict=True):
                if not isinstance(answer, str):
                    step.learn(side.known, answer)

    def _settle(self, step: Settle, side: Side) -> None:
        key = step.build(side.known).api.key
        if key not in self.ranges:
            return
        version = side.known.version = self.ranges[key][1] if step.version is None else step.version
        end = time.monotonic() + SETTLE_SECONDS_MAX
        while True:
            side.send(step.build(side.known), version, "settle")
            answer = side.receive("settle")
            if not isinstance(answer, str) and step.done(answer):
                if step.learn is not None:
                    step.learn(side.known, answer)
                return
            assert time.monotonic() < end, f"{side.known.scenario} on port {side.port}: never settled, last {answer!r}"
            time.sleep(0.02)

    def _raw(self, number: int, step: Raw, sides: list[Side], findings: list[Finding]) -> None:
        ours, theirs = (_said(side, step.build(side.known)) for side in sides)
        if ours != theirs:
            difference = Difference("outcome", "outcome", ours, theirs)
            findings.append(Finding(sides[0].known.scenario, number, "raw", 0, difference, step.what))


def _said(side: Side, data: bytes) -> str:
    """What comes back for *data*: that the connection is closed, or the frame's bytes behind its size."""
    with RawClient(side.host, side.port, timeout=3) as client:
        client.socket.sendall(data)
        try:
            return "answered " + client.receive_frame()[:6].hex(" ")
        except (EOFError, ConnectionError):
            return "connection closed"
        except TimeoutError:
            return "connection open, no answer"


def _ranges(host: str, port: int) -> dict[ApiKey, tuple[int, int]]:
    with RawClient(host, port) as client:
        answer = client.ask(
            ApiVersionsRequest(client_software_name="test", client_software_version="1"), ApiVersionsResponse, 3
        )
    known = {int(key) for key in ApiKey}
    return {ApiKey(row.api_key): (row.min_version, row.max_version) for row in answer.api_keys if row.api_key in known}


def frame(body: bytes) -> bytes:
    """*body* behind its size."""
    return struct.pack(">i", len(body)) + body
