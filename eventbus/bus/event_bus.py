"""
Publishes events that belong to no aggregate.
"""

from uuid import uuid4

from eventbus.clock import Clock
from eventbus.domain import EventTopics
from eventbus.errors import DefinitionError
from eventbus.handlers import current_scope
from eventbus.messages import Event, Metadata
from eventbus.observability import current_traceparent
from eventbus.store import Transactions


class EventBus:
    """`publish` puts an event into the outbox: it is published when the transaction is committed, and only then."""

    __slots__ = ("_clock", "_source", "_topics", "_transactions")

    def __init__(self, source: str, topics: EventTopics, transactions: Transactions, clock: Clock) -> None:
        self._source = source
        self._topics = topics
        self._transactions = transactions
        self._clock = clock

    async def publish(self, event: Event) -> str:
        """
        Has *event* published to the topic that its class names, keyed by its key field; answers its id.

        Inside a handler it joins the transaction of the message that is being handled; outside it has one of its own.
        Raises DefinitionError when the class names no topic, or an aggregate of this application records it.
        """
        topic = self._topic(type(event))
        scope = current_scope()
        if scope is not None:
            if scope.unit_of_work is None:
                raise DefinitionError(f"a query changes nothing, and the handler of {scope.metadata.type} publishes")
            return scope.unit_of_work.publish(event, topic=topic, key=event.partition_key())
        async with self._transactions.begin(lazily=True) as transaction:
            unit_of_work = transaction.unit_of_work(self._metadata())
            event_id = unit_of_work.publish(event, topic=topic, key=event.partition_key())
            await unit_of_work.complete()
        return event_id

    def _topic(self, event: type[Event]) -> str:
        owner = self._topics.owner(event)
        if owner is not None:
            raise DefinitionError(
                f"{event.__name__} is recorded by the aggregate {owner.__name__}, whose stream gives its events their "
                "order: record it there"
            )
        if event.event_topic is None:
            raise DefinitionError(
                f'{event.__module__}.{event.__qualname__} names no topic: class {event.__name__}(Event, topic="…")'
            )
        return event.event_topic

    def _metadata(self) -> Metadata:
        """Of whoever publishes outside of any message."""
        return Metadata(
            id=str(uuid4()),
            type="publish",
            version=1,
            source=self._source,
            time=self._clock.now(),
            traceparent=current_traceparent(),
        )
