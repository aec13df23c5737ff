"""
Which tables of a service's database are moved.

The framework's, leases aside; those of projections whose live generation is the application's; nothing else. A
projection that is not carried over is left out with its checkpoints, and is filled from the log at the first start.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Table, inspect, select
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.migrations import VERSION_TABLE
from eventbus.database.tables import generations, metadata
from eventbus.migration.translation import Row
from eventbus.projections import AnyProjection
from eventbus.projections.naming import inbox_consumer, table_name
from eventbus.projections.stream_versions import StreamVersions

LEASES: Final = frozenset({"eventbus_relay_slots", "eventbus_relays"})
"""Who may publish what, for seconds: of processes that are stopped."""


@dataclass(frozen=True, slots=True)
class ServiceTables:
    """
    tables      in the order in which they are filled
    left_out    projections that are filled from the log at the first start, with the reason
    foreign     tables that are not eventbus's: they stay where they are
    """

    tables: Sequence[Table]
    left_out: Mapping[str, str]
    foreign: Sequence[str]
    dropped: frozenset[tuple[str, int]]
    left_consumers: frozenset[str]

    def kept(self, table: str, rows: Sequence[Row]) -> list[Row]:
        """The rows of *table* without those of what is left out."""
        if not self.left_out and not self.dropped:
            return list(rows)
        match table:
            case "eventbus_generations":
                return [
                    {**row, "state": "dropped"} if (row["projection"], row["generation"]) in self.dropped else row
                    for row in rows
                    if row["projection"] not in self.left_out
                ]
            case "eventbus_checkpoints":
                return [row for row in rows if row["consumer"] not in self.left_out]
            case "eventbus_inbox":
                return [row for row in rows if row["consumer"] not in self.left_consumers]
            case _:
                return list(rows)

    @property
    def framework(self) -> list[Table]:
        """Those that every service has."""
        return [table for table in self.tables if table.name in metadata.tables]


async def service_tables(
    connection: AsyncConnection, projections: Sequence[type[AnyProjection]], *, app_given: bool
) -> ServiceTables:
    """Looks into the source's database."""
    rows = [
        dict(row) for row in (await connection.execute(select(generations))).mappings() if row["state"] != "dropped"
    ]
    known = {projection.projection_name: projection for projection in projections}
    live = {row["projection"]: row for row in rows if row["state"] == "live"}
    left_out: dict[str, str] = {}
    for name in sorted({str(row["projection"]) for row in rows}):
        projection, found = known.get(name), live.get(name)
        if projection is None:
            left_out[name] = "the application has no such projection" if app_given else "no --app that defines it"
        elif found is None:
            left_out[name] = "no generation of it is live"
        elif not _is_of(found, projection):
            left_out[name] = f"version {found['version']} is live, the application has {projection.projection_version}"
    tables = [table for table in metadata.sorted_tables if table.name not in LEASES]
    dropped: set[tuple[str, int]] = set()
    for row in rows:
        name, number = str(row["projection"]), int(row["generation"])
        if name in left_out:
            continue
        if not _is_of(row, known[name]):
            dropped.add((name, number))
            continue
        tables += known[name].tables(number)
        tables.append(StreamVersions(table_name(name, number, "streams")).table)
    every = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    ours = {table.name for table in tables} | LEASES | {VERSION_TABLE}
    return ServiceTables(
        tables,
        left_out,
        [name for name in sorted(every) if name not in ours and not name.startswith("view_")],
        frozenset(dropped),
        frozenset(
            inbox_consumer(str(row["projection"]), int(row["generation"]))
            for row in rows
            if row["projection"] in left_out
        ),
    )


def _is_of(row: Mapping[str, object], projection: type[AnyProjection]) -> bool:
    return (row["version"], row["fingerprint"]) == (projection.projection_version, projection.fingerprint())
