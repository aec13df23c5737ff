"""A classic consumer in a group that may be of either protocol: joins, syncs, reports, and says what it owns."""

from struct import pack

from broker.errors import ErrorCode
from broker.groups import JoinRequest, JoinResult, LeavingMember, SyncRequest, SyncResult
from broker.groups.consumer_protocol import read_assignment, write_assignment
from tests.broker.groups.consumer.harness import ConsumerWorld

SESSION_MS = 10_000


def subscription(topics: list[str], owned: dict[str, list[int]]) -> bytes:
    """ConsumerProtocolSubscription v1."""
    parts = [pack(">hi", 1, len(topics)), *(_string(topic) for topic in topics), pack(">i", -1), pack(">i", len(owned))]
    for topic, partitions in owned.items():
        parts += [_string(topic), pack(">i", len(partitions)), *(pack(">i", each) for each in partitions)]
    return b"".join(parts)


def _string(text: str) -> bytes:
    return pack(">h", len(text)) + text.encode()


class ClassicConsumer:
    """
    One member of "g". `beat` is what a client does all the time. A cooperative one says what it owns when it joins and
    keeps that; any other gives up everything first. The leader of a classic group assigns by turns.
    """

    def __init__(
        self, world: ConsumerWorld, name: str = "k", *, cooperative: bool = False, instance_id: str | None = None
    ) -> None:
        self.world = world
        self.name = name
        self.cooperative = cooperative
        self.instance_id = instance_id
        self.member_id = ""
        self.generation = -1
        self.owned: list[int] = []
        self.joined: JoinResult | None = None
        self.waits = False
        self.errors: list[ErrorCode] = []

    def join(self) -> None:
        if not self.cooperative:
            self.owned = []
        for _ in range(2):
            self.waits = True
            request = JoinRequest(
                group_id="g",
                member_id=self.member_id,
                instance_id=self.instance_id,
                client_id=self.name,
                client_host="127.0.0.1",
                session_timeout_ms=SESSION_MS,
                rebalance_timeout_ms=30_000,
                protocol_type="consumer",
                protocols=[("turns", subscription(["t"], {"t": self.owned} if self.cooperative else {}))],
            )
            self.world.coordinator.join(request, owner=self, on_complete=self._joined)
            if self.errors[-1:] != [ErrorCode.MEMBER_ID_REQUIRED]:
                return

    def _joined(self, result: JoinResult) -> None:
        self.waits = False
        self.errors.append(result.error)
        if result.error in (ErrorCode.NONE, ErrorCode.MEMBER_ID_REQUIRED):
            self.member_id = result.member_id
        if result.error is ErrorCode.NONE:
            self.joined, self.generation = result, result.generation
            self._sync(result)
        elif result.error is not ErrorCode.MEMBER_ID_REQUIRED:
            self._failed(result.error)

    def _sync(self, joined: JoinResult) -> None:
        members = [each.member_id for each in joined.members]
        assignments = {
            member_id: write_assignment(1, {"t": list(range(4))[number :: len(members)]})
            for number, member_id in enumerate(members)
        }
        request = SyncRequest(
            group_id="g",
            member_id=self.member_id,
            instance_id=self.instance_id,
            generation=self.generation,
            protocol_type=joined.protocol_type,
            protocol=joined.protocol,
            assignments=assignments if joined.leader == self.member_id else {},
        )
        self.waits = True
        self.world.coordinator.sync(request, owner=self, on_complete=self._synced)

    def _synced(self, result: SyncResult) -> None:
        self.waits = False
        self.errors.append(result.error)
        if result.error is ErrorCode.NONE:
            self.owned = sorted(read_assignment(result.assignment).get("t", ()))
        else:
            self._failed(result.error)

    def beat(self) -> ErrorCode:
        """Reports, and joins when it is told to."""
        if self.waits:
            return ErrorCode.NONE
        if self.generation < 0:
            self.join()
            return self.errors[-1]
        error = self.world.coordinator.heartbeat("g", self.member_id, self.instance_id, self.generation)
        if error is not ErrorCode.NONE:
            self._failed(error)
            self.join()
        return error

    def _failed(self, error: ErrorCode) -> None:
        if error in (ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.ILLEGAL_GENERATION):
            self.owned = []
        if error is ErrorCode.UNKNOWN_MEMBER_ID:
            self.member_id = ""
        self.generation = -1

    def leave(self) -> ErrorCode:
        result = self.world.coordinator.leave("g", [LeavingMember(self.member_id, self.instance_id)])
        self.generation, self.member_id, self.owned = -1, "", []
        return result.error or result.members[0].error

    def has(self) -> list[int]:
        return self.owned
