"""Handlers with middleware around them: docs/how-to/write-a-middleware.md."""

import itertools

from eventbus import Command, Query, handles

_counted = itertools.count(1)


class GetRate(Query[int]):
    currency: str


class SetRate(Command):
    currency: str


@handles(GetRate)
async def get_rate(query: GetRate) -> int:
    return next(_counted)


@handles(SetRate)
async def set_rate(command: SetRate) -> None: ...
