"""One member of a classic group."""

from typing import Final

from broker.groups.values import JoinedMember, JoinRequest, MemberDescription, StoredMember

NEW_MEMBER_JOIN_S: Final = 300.0
"""How long the first join of a member may wait."""


class Member:
    """
    A member, with the requests of it that are parked in the group.

    `join` and `sync` are the tickets of its parked requests. While one is parked the member lives on it: its session is
    not counted. Otherwise it has until `session_deadline` (monotonic seconds) to be heard of.

    `is_new` until its first join is answered: that join waits for NEW_MEMBER_JOIN_S at most, so that clients that ask,
    give up and ask again as strangers do not pile up in a rebalance that takes long (Kafka's rule and number).
    """

    __slots__ = (
        "assignment",
        "client_host",
        "client_id",
        "id",
        "instance_id",
        "is_new",
        "join",
        "protocols",
        "rebalance_timeout_ms",
        "session_deadline",
        "session_timeout_ms",
        "sync",
    )

    def __init__(self, member_id: str, request: JoinRequest, now: float) -> None:
        self.id = member_id
        self.instance_id = request.instance_id
        self.assignment = b""
        self.join: int | None = None
        self.sync: int | None = None
        self.is_new = True
        self.update(request)
        self.heard(now)

    @classmethod
    def restored(cls, stored: StoredMember, protocol_type: str, protocol: str | None, now: float) -> "Member":
        """A member as the log knows it, with a session that begins now."""
        request = JoinRequest(
            group_id="",
            instance_id=stored.instance_id,
            client_id=stored.client_id,
            client_host=stored.client_host,
            session_timeout_ms=stored.session_timeout_ms,
            rebalance_timeout_ms=stored.rebalance_timeout_ms,
            protocol_type=protocol_type,
            protocols=((protocol or "", stored.subscription),),
        )
        member = cls(stored.member_id, request, now)
        member.assignment = stored.assignment
        member.is_new = False
        member.heard(now)
        return member

    def update(self, request: JoinRequest) -> None:
        """Takes over what the member says of itself when it joins (again)."""
        self.client_id = request.client_id
        self.client_host = request.client_host
        self.session_timeout_ms = request.session_timeout_ms
        unset = request.rebalance_timeout_ms < 0
        self.rebalance_timeout_ms = request.session_timeout_ms if unset else request.rebalance_timeout_ms
        self.protocols = dict(request.protocols)

    def heard(self, now: float) -> None:
        """Starts the session anew."""
        self.session_deadline = now + (NEW_MEMBER_JOIN_S if self.is_new else self.session_timeout_ms / 1000)

    @property
    def expires_at(self) -> float | None:
        """When the member is out if nothing is heard of it; None while it lives on a parked request."""
        lives_on_a_request = self.join is not None or self.sync is not None
        return None if lives_on_a_request and not self.is_new else self.session_deadline

    def joined(self, protocol: str | None) -> JoinedMember:
        return JoinedMember(self.id, self.instance_id, self.metadata(protocol))

    def metadata(self, protocol: str | None) -> bytes:
        return b"" if protocol is None else self.protocols.get(protocol, b"")

    def described(self, protocol: str | None) -> MemberDescription:
        """*protocol* None: the group is not Stable, so neither metadata nor assignment means anything."""
        assignment = b"" if protocol is None else self.assignment
        return MemberDescription(
            self.id, self.instance_id, self.client_id, self.client_host, self.metadata(protocol), assignment
        )

    def stored(self, protocol: str | None) -> StoredMember:
        return StoredMember(
            self.id,
            self.instance_id,
            self.client_id,
            self.client_host,
            self.rebalance_timeout_ms,
            self.session_timeout_ms,
            self.metadata(protocol),
            self.assignment,
        )
