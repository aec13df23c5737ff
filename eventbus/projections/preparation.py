"""
What a service does for its projections before it starts: tables at the first start, a look at the versions at every
one.
"""

from collections.abc import Iterable

from eventbus.clock import Clock
from eventbus.database.engine import Database
from eventbus.database.inbox import Inbox
from eventbus.errors import SchemaOutdated
from eventbus.projections.build import Build
from eventbus.projections.definition import AnyProjection
from eventbus.projections.generations import Generations, check_shape


async def prepare_projections(database: Database, projections: Iterable[type[AnyProjection]], clock: Clock) -> None:
    """
    Makes generation 1 of each projection that is new here, live and empty: its runner fills it from the log.

    Safe when several processes start at once. A live generation of another version stays as it is, for the release that
    made it, and is none of this one's business. Raises SchemaOutdated when its version is the code's and its tables are
    not.
    """
    generations = Generations(clock)
    faults: list[str] = []
    async with database.transaction() as connection:
        for projection in sorted(projections, key=lambda one: one.projection_name):
            if await generations.first(connection, projection):
                await Build(projection, 1, Inbox()).create(connection)
                continue
            live = await generations.live(connection, projection.projection_name)
            if live is None or live.version != projection.projection_version:
                continue
            try:
                check_shape(projection, live)
            except SchemaOutdated as outdated:
                faults.append(str(outdated))
    if faults:
        raise SchemaOutdated("\n".join(faults))
