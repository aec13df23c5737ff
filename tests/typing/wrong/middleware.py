"""What cannot be around a message."""

from eventbus import Application, Message, Next
from eventbus.bus import logged


def plain(message: Message, call_next: Next) -> int:
    return 1


async def forgets(message: Message, call_next: Next) -> int:
    return call_next()  # wrong: not awaited


async def passes_on(message: Message, call_next: Next) -> object:
    return await call_next(message)  # wrong: call_next takes nothing


def build() -> None:
    Application("a", modules=[], middleware=[plain])  # wrong: no `async def`
    Application("a", modules=[], middleware=[logged])  # wrong: not called
    Application("a", modules=[], middleware=logged())  # wrong: not a list
    logged(slow="1")  # wrong: no such keyword
