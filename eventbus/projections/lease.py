"""
Working on a generation under its lease: renewed while the work goes on, left to others when it has ended.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from eventbus.database.engine import Database
from eventbus.errors import DatabaseUnavailable
from eventbus.projections.generations import Generation, Generations, Held, RebuildRefused

T = TypeVar("T")

LEASE_SECONDS = 10.0


class Lease:
    """The lease on one generation. `state` is what the generation is said to be at the next renewal."""

    def __init__(self, database: Database, generations: Generations, generation: Generation, seconds: float) -> None:
        self._database = database
        self._generations = generations
        self._generation = generation
        self.seconds = seconds
        self.state: Held = "returning" if generation.was_live else "building"
        self._lost: RebuildRefused | None = None

    async def during(self, work: Callable[[], Awaitable[T]]) -> T:
        """What *work* answers. Raises RebuildRefused when another process has taken the generation over."""
        failure: Exception | None = None
        result: list[T] = []
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._keep, group.cancel_scope)
                try:
                    result.append(await work())
                except Exception as error:  # raised below, outside of the group, which would wrap it
                    failure = error
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._give_up()
        if self._lost is not None:
            raise self._lost
        if failure is not None:
            raise failure
        return result[0]

    async def _keep(self, scope: anyio.CancelScope) -> None:
        while True:
            await anyio.sleep(self.seconds / 3)
            try:
                async with self._database.transaction() as connection:
                    await self._generations.renew(connection, self._generation, self.state, self.seconds)
            except DatabaseUnavailable:
                continue  # whoever fills or switches finds that out, too, and says so
            except RebuildRefused as lost:
                self._lost = lost
                scope.cancel()

    async def _give_up(self) -> None:
        try:
            async with self._database.transaction() as connection:
                await self._generations.give_up_lease(connection, self._generation)
        except DatabaseUnavailable:
            pass  # it runs out by itself
