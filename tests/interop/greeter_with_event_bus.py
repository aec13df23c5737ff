import sys

import pytest

from eventbus import Application, Command, Event, EventBus, handles
from eventbus.testing import RunningEventBus


class Greet(Command):
    name: str


class Greeted(Event, topic="greetings"):
    name: str


@handles(Greet)
async def greet(command: Greet, events: EventBus) -> None:
    await events.publish(Greeted(name=command.name))


@handles(Greeted)
async def remember(event: Greeted) -> None: ...


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_who_is_greeted_is_told(event_bus: RunningEventBus) -> None:
    await event_bus.start(Application("greeter", modules=[sys.modules[__name__]]))
    await event_bus.send(Greet(name="world"))
    await event_bus.until_settled()
    assert await event_bus.events("greetings") == [Greeted(name="world")]
