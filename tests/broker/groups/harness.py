"""A coordinator under a manual clock, on a log in memory, with members that remember their answers."""

from collections.abc import Iterator, Sequence
from itertools import count

from broker.clock import ManualClock
from broker.config import BrokerConfig
from broker.errors import ErrorCode, KafkaError
from broker.groups import (
    GroupCoordinator,
    JoinRequest,
    JoinResult,
    LeavingMember,
    LogEntry,
    LogRecord,
    StagedRecord,
    SyncRequest,
    SyncResult,
    Writer,
    WriterEnd,
)
from broker.records import Marker, MarkerKind

SESSION_MS = 10_000
REBALANCE_MS = 60_000


class MemoryLog:
    """The port, in memory; refuses on request, and keeps what a restart would find."""

    def __init__(self) -> None:
        self.records: list[LogEntry] = []
        self.start_offset = 0
        self.refuses = False

    @property
    def end_offset(self) -> int:
        return self.start_offset + len(self.records)

    def append(self, records: Sequence[LogRecord], timestamp_ms: int, writer: Writer | None = None) -> int:
        if self.refuses:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "no space left on device")
        base = self.end_offset
        self.records.extend(records if writer is None else [StagedRecord(writer, each) for each in records])
        return base

    def append_marker(self, writer: Writer, marker: Marker, timestamp_ms: int) -> None:
        if self.refuses:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "no space left on device")
        self.records.append(WriterEnd(writer.producer_id, marker.kind is MarkerKind.COMMIT))

    def replay(self) -> Iterator[LogEntry]:
        return iter(list(self.records))

    def discard_before(self, offset: int) -> None:
        del self.records[: offset - self.start_offset]
        self.start_offset = offset


class World:
    """Time, log and coordinator; `restart` starts a coordinator anew from what the log has."""

    def __init__(self, **settings: str) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog()
        self.config = BrokerConfig.parse({key.replace("_", "."): value for key, value in settings.items()})
        self._numbers = count(1)
        self.coordinator = self._start()

    def restart(self) -> None:
        self.coordinator = self._start()

    def advance(self, milliseconds: int) -> None:
        """Lets time pass, with every deadline kept at its own moment."""
        end = self.clock.monotonic() + milliseconds / 1000
        while (deadline := self.coordinator.next_deadline()) <= end:
            self.clock.advance_ms(max(0, round((deadline - self.clock.monotonic()) * 1000)))
            # Sums of fractions of a second: the clock may stand a rounding error before the deadline.
            self.coordinator.expire(max(deadline, self.clock.monotonic()))
        self.clock.advance_ms(max(0, round((end - self.clock.monotonic()) * 1000)))

    def state(self, group_id: str = "g") -> str:
        description = self.coordinator.describe(group_id)
        return "Dead" if description is None else description.state.value

    def _start(self) -> GroupCoordinator:
        coordinator = GroupCoordinator(
            log=self.log,
            clock=self.clock,
            config=self.config,
            new_member_id=lambda prefix: f"{prefix}-{next(self._numbers)}",
        )
        coordinator.load()
        return coordinator


class Client:
    """One consumer of the group "g": sends what a consumer sends, keeps what it is answered."""

    def __init__(
        self,
        world: World,
        name: str = "c",
        *,
        instance_id: str | None = None,
        protocols: Sequence[tuple[str, bytes]] = (("range", b"any"),),
        session_timeout_ms: int = SESSION_MS,
        rebalance_timeout_ms: int = REBALANCE_MS,
        protocol_type: str = "consumer",
    ) -> None:
        self.world = world
        self.name = name
        self.instance_id = instance_id
        self.protocols = protocols
        self.session_timeout_ms = session_timeout_ms
        self.rebalance_timeout_ms = rebalance_timeout_ms
        self.protocol_type = protocol_type
        self.member_id = ""
        self.generation = -1
        self.joins: list[JoinResult] = []
        self.syncs: list[SyncResult] = []

    def join(self, *, requires_known_member_id: bool = True, supports_skipping_assignment: bool = True) -> "Client":
        """Joins; comes again at once when it is given an id. The answer, when there is one, is `joins[-1]`."""
        for _ in range(2):
            before = len(self.joins)
            request = JoinRequest(
                group_id="g",
                member_id=self.member_id,
                instance_id=self.instance_id,
                client_id=self.name,
                client_host="/127.0.0.1",
                session_timeout_ms=self.session_timeout_ms,
                rebalance_timeout_ms=self.rebalance_timeout_ms,
                protocol_type=self.protocol_type,
                protocols=self.protocols,
                requires_known_member_id=requires_known_member_id,
                supports_skipping_assignment=supports_skipping_assignment,
            )
            self.world.coordinator.join(request, owner=self, on_complete=self._joined)
            given_an_id = len(self.joins) > before and self.joins[-1].error is ErrorCode.MEMBER_ID_REQUIRED
            if not given_an_id:
                break
        return self

    def _joined(self, result: JoinResult) -> None:
        self.joins.append(result)
        if result.error in (ErrorCode.NONE, ErrorCode.MEMBER_ID_REQUIRED):
            self.member_id = result.member_id
        if result.error is ErrorCode.NONE:
            self.generation = result.generation

    @property
    def leads(self) -> bool:
        return bool(self.joins) and self.joins[-1].leader == self.member_id

    def sync(self, assignments: dict[str, bytes] | None = None) -> "Client":
        request = SyncRequest(
            group_id="g",
            member_id=self.member_id,
            instance_id=self.instance_id,
            generation=self.generation,
            protocol_type=self.protocol_type,
            protocol=self.joins[-1].protocol if self.joins else None,
            assignments=assignments or {},
        )
        self.world.coordinator.sync(request, owner=self, on_complete=self.syncs.append)
        return self

    def heartbeat(self) -> ErrorCode:
        return self.world.coordinator.heartbeat("g", self.member_id, self.instance_id, self.generation)

    def leave(self) -> ErrorCode:
        result = self.world.coordinator.leave("g", [LeavingMember(self.member_id, self.instance_id)])
        return result.error or result.members[0].error

    def disconnect(self) -> None:
        self.world.coordinator.detach(self)


def stable(world: World, *clients: Client) -> None:
    """Brings *clients* into one generation, each assigned its own name."""
    for _ in range(2):
        for client in clients:
            if client.generation == -1 or client.heartbeat() is not ErrorCode.NONE:
                client.join()
    leader = next(client for client in clients if client.leads)
    for client in clients:
        client.sync({each.member_id: each.name.encode() for each in clients} if client is leader else None)
    assert world.state() == "Stable"
    assert all(client.syncs[-1].assignment == client.name.encode() for client in clients)
