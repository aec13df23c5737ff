"""One event while one of its handlers has it."""

from eventbus.delivery.incoming import Call, Incoming
from eventbus.handlers.provision import Scope
from eventbus.messages import Metadata
from eventbus.store import Transaction, UnitOfWork


async def handle(transaction: Transaction, incoming: Incoming, call: Call, attempt: int = 1) -> None:
    """Calls the handler; what it records is in *transaction* then. Raises what the handler raises."""
    scope = EventScope(transaction, incoming, attempt)
    await call.invocation.within(scope, incoming.event)
    unit = scope.used_unit_of_work
    if unit is not None:
        await unit.complete()


class EventScope(Scope):
    """
    What the handler may ask for. A unit of work and metadata cost more than all the rest of a short handler, so each is
    made for whoever asks first. To the unit of work it is the cause of what is recorded.
    """

    __slots__ = ("_attempt", "_incoming", "_transaction")

    # As Scope's own, which is not called: every event has one.
    def __init__(self, transaction: Transaction, incoming: Incoming, attempt: int) -> None:
        self._metadata = None
        self._unit_of_work = None
        self._values = None
        self.is_open = True
        self._transaction = transaction
        self._incoming = incoming
        self._attempt = attempt

    @property
    def unit_of_work(self) -> UnitOfWork:
        """A part of the slice's transaction, made when it is asked for."""
        if self._unit_of_work is None:
            self._unit_of_work = self._transaction.unit_of_work(self)
        return self._unit_of_work

    @property
    def used_unit_of_work(self) -> UnitOfWork | None:
        """The same; None when nobody has asked."""
        return self._unit_of_work

    @property
    def id(self) -> str:
        return self._incoming.envelope.id

    @property
    def correlation_id(self) -> str | None:
        return self._incoming.envelope.correlation_id

    @property
    def traceparent(self) -> str | None:
        return self._incoming.envelope.traceparent

    def _make_metadata(self) -> Metadata:
        return self._incoming.metadata(self._attempt)
