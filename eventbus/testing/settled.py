"""
Whether a service has nothing left to do: nothing in its outbox that the log takes, and every consumer at the log's end.

Positions are read before the outbox, and the outbox before the log's ends: so when they agree, nothing was under way.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from eventbus.application import Application
from eventbus.database import Checkpoints, Outbox
from eventbus.delivery import retry_delays
from eventbus.delivery.retry_records import retry_topic
from eventbus.projections import Generations, Pauses
from eventbus.transport.port import LogDescription, TopicPartition, Transport

_HANDLERS = 0
"""The generation under which consumers that are no projections keep their checkpoints."""


@dataclass(frozen=True, slots=True)
class _Reached:
    """How far one consumer has come in its topics; a partition that is missing was never begun."""

    consumer: str
    topics: tuple[str, ...]
    offsets: Mapping[TopicPartition, int]


async def unsettled(apps: list[Application], transport: Transport) -> list[str]:
    """What *apps* have left to do, a sentence each; empty when they are settled. Raises BrokerUnavailable."""
    reached = [one for app in apps for one in await _reached(app)]
    waiting: list[str] = []
    for app in apps:
        async with app.database.reading() as connection:
            rows = (await Outbox().status(connection)).rows
        if rows:
            blocked = (await app.status())["relay"]["blocked_keys"]
            because = f" ({'; '.join(blocked)})" if blocked else ""
            waiting.append(f"{app.name}: {rows} events of the outbox are not in the log{because}")
    log = await transport.describe(sorted({topic for one in reached for topic in one.topics}))
    return [*waiting, *(lag for one in reached for lag in _lags(one, log))]


async def _reached(app: Application) -> list[_Reached]:
    found: list[_Reached] = []
    async with app.database.reading() as connection:
        wanted: list[tuple[str, int, tuple[str, ...]]] = []
        if app.buses.subscribers:
            handlers = [handler for of in app.model.handlers.events.values() for handler in of]
            wanted.append((app.name, _HANDLERS, tuple(sorted(app.model.handled_topics))))
            for delay in retry_delays(handlers):
                topic = retry_topic(app.name, delay)
                wanted.append((topic, _HANDLERS, (topic,)))
        for projection in app.projections:
            name = projection.projection_name
            live = await Generations(app.clock).live(connection, name)
            if live is not None and await Pauses().find(connection, name) is None:
                wanted.append((name, live.generation, tuple(projection.projection_topics)))
        for consumer, generation, topics in wanted:
            offsets = {
                TopicPartition(checkpoint.log.topic, checkpoint.log.partition): checkpoint.next_offset
                for checkpoint in await Checkpoints().read(connection, consumer, generation)
                if checkpoint.next_offset is not None
            }
            found.append(_Reached(consumer, topics, offsets))
    return found


def _lags(reached: _Reached, log: LogDescription) -> Iterator[str]:
    for topic in reached.topics:
        for number, held in enumerate(log.topics[topic].partitions if topic in log.topics else ()):
            at = reached.offsets.get(TopicPartition(topic, number), held.start)
            if at < held.end:
                yield f"{reached.consumer}: {topic}-{number} ends at {held.end}, it has come to {at}"
