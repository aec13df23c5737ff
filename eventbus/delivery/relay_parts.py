"""What the slots of one relay share."""

from dataclasses import dataclass

from eventbus.database import BlockedRows, Database, Outbox, SlotLeases
from eventbus.observability import Counters
from eventbus.transport.port import Transport


@dataclass(frozen=True, slots=True)
class RelayParts:
    """
    service        the transactional ids begin with it: two services of one name on one log would fence each other
    holder         this process' name in the leases
    lease_seconds  how long a lease lasts that is not renewed
    poll_seconds   between two looks for rows of other processes, and at blocked rows
    """

    database: Database
    outbox: Outbox
    leases: SlotLeases
    blocked_rows: BlockedRows
    transport: Transport
    service: str
    holder: str
    counters: Counters
    lease_seconds: float
    poll_seconds: float

    def transactional_id(self, slot: int) -> str:
        """The slot's own in the log: whoever holds the slot takes it over, and fences whoever held it before."""
        return f"eventbus.{self.service}.{slot}"
