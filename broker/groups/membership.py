"""Who is in a group: members in the order of their arrival, static members by instance, the leader, and the vote."""

from collections import Counter
from collections.abc import Iterable

from broker.errors import ErrorCode
from broker.groups.consumer_protocol import CONSUMER, subscribed_topics
from broker.groups.member import Member
from broker.groups.values import JoinedMember, JoinRequest, MemberDescription, StoredMember


class Membership:
    """
    The members of a group.

    Leader    the first member; when it goes, the one that has been there longest.
    Protocol  one that every member supports; each member votes for the first such of its own list, the most votes win,
              and of equals the one voted for first.
    """

    __slots__ = ("_supporters", "leader", "members", "protocol_type", "static")

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.static: dict[str, str] = {}
        self.leader: str | None = None
        self.protocol_type: str | None = None
        self._supporters: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self.members)

    def __contains__(self, member_id: str) -> bool:
        return member_id in self.members

    def __getitem__(self, member_id: str) -> Member:
        return self.members[member_id]

    def add(self, member: Member, protocol_type: str) -> None:
        if not self.members:
            self.protocol_type = protocol_type
        self.members[member.id] = member
        self._supporters.update(member.protocols.keys())
        if member.instance_id is not None:
            self.static[member.instance_id] = member.id
        if self.leader is None:
            self.leader = member.id

    def remove(self, member_id: str) -> Member:
        member = self.members.pop(member_id)
        self._supporters.subtract(member.protocols.keys())
        self._supporters = +self._supporters
        # A replaced static member leaves the mapping to its successor.
        if member.instance_id is not None and self.static.get(member.instance_id) == member_id:
            del self.static[member.instance_id]
        if self.leader == member_id:
            self.leader = next(iter(self.members), None)
        return member

    def update(self, member: Member, request: JoinRequest) -> None:
        self._supporters.subtract(member.protocols.keys())
        member.update(request)
        self._supporters.update(member.protocols.keys())
        self._supporters = +self._supporters

    def rename(self, member: Member, new_id: str) -> None:
        """Gives a static member that came back a new id, in the place of the old one: leadership included."""
        old_id = member.id
        self.members = {(new_id if key == old_id else key): each for key, each in self.members.items()}
        member.id = new_id
        if member.instance_id is not None:
            self.static[member.instance_id] = new_id
        if self.leader == old_id:
            self.leader = new_id

    def elect(self) -> None:
        """Makes a member lead that has joined the coming generation: the present leader, else the first that has."""
        if self.leader is not None and self.members[self.leader].join is not None:
            return
        self.leader = next((each.id for each in self.members.values() if each.join is not None), self.leader)

    def supports(self, protocol_type: str, names: Iterable[str]) -> bool:
        """Whether somebody with these protocols can be in the group: one of them is supported by every member."""
        if not self.members:
            return True
        return protocol_type == self.protocol_type and any(self._supporters[name] == len(self) for name in names)

    def elected_protocol(self) -> str:
        """Raises ValueError without members, or when no protocol is supported by all: `supports` guards against it."""
        candidates = {name for name, supporters in self._supporters.items() if supporters == len(self)}
        votes = Counter(next(name for name in each.protocols if name in candidates) for each in self.members.values())
        return max(votes, key=lambda name: votes[name])

    def stranger(self, member_id: str, instance_id: str | None) -> ErrorCode | None:
        """Why (member id, instance id) is nobody of this group; None when it is somebody."""
        if instance_id is not None:
            present = self.static.get(instance_id)
            if present is None:
                return ErrorCode.UNKNOWN_MEMBER_ID
            if present != member_id:
                return ErrorCode.FENCED_INSTANCE_ID
        return None if member_id in self else ErrorCode.UNKNOWN_MEMBER_ID

    def joined(self, protocol: str | None) -> tuple[JoinedMember, ...]:
        """All members, as the leader sees them."""
        return tuple(each.joined(protocol) for each in self.members.values())

    def described(self, protocol: str | None) -> tuple[MemberDescription, ...]:
        return tuple(each.described(protocol) for each in self.members.values())

    def stored(self, protocol: str | None) -> tuple[StoredMember, ...]:
        return tuple(each.stored(protocol) for each in self.members.values())

    def rebalance_timeout_ms(self) -> int:
        """How long the slowest member may take to join again."""
        return max((each.rebalance_timeout_ms for each in self.members.values()), default=0)

    def subscribed_to(self, protocol: str | None) -> frozenset[str] | None:
        """The topics that members consume; None when that cannot be known (no consumers, or unreadable metadata)."""
        if self.protocol_type != CONSUMER or protocol is None:
            return None
        topics: frozenset[str] = frozenset()
        for member in self.members.values():
            subscribed = subscribed_topics(member.metadata(protocol))
            if subscribed is None:
                return None
            topics |= subscribed
        return topics
