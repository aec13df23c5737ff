"""By when a member of a consumer group has to have done what: else it is fenced."""

from dataclasses import dataclass

FOREVER = float("inf")


@dataclass(slots=True)
class MemberTimers:
    """
    Monotonic seconds; FOREVER where nothing is waited for.

    session      to be heard of at all
    revocation   to give up what it has to, in the member epoch `revocation_epoch`
    join, sync   classic members only: to join again, and to fetch the assignment after that
    """

    session: float
    revocation: float = FOREVER
    revocation_epoch: int = 0
    join: float = FOREVER
    sync: float = FOREVER

    def next(self) -> float:
        return min(self.session, self.revocation, self.join, self.sync)
