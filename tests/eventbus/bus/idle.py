"""Handlers that do nothing, or nearly."""

from eventbus.bus import CommandBus
from eventbus.handlers import handles
from eventbus.messages import Command, Metadata

seen: list[Metadata] = []


class Idle(Command):
    pass


class IdleWithMetadata(Command):
    pass


class Delegate(Command):
    pass


@handles(Idle)
async def idle(command: Idle) -> None:
    return None


@handles(IdleWithMetadata)
async def idle_with_metadata(command: IdleWithMetadata, metadata: Metadata) -> None:
    seen.append(metadata)


@handles(Delegate)
async def delegate(command: Delegate, commands: CommandBus) -> None:
    await commands.send(IdleWithMetadata())
