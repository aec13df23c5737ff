import asyncio
import sys

from eventbus import Application, Command, handles


class Greet(Command):
    name: str


@handles(Greet)
async def greet(command: Greet) -> None:
    sys.stdout.write(f"hello {command.name}\n")


async def main() -> None:
    async with (app := Application("greeter", modules=[sys.modules[__name__]])).lifespan():
        await app.send(Greet(name="world"))


asyncio.run(main())
