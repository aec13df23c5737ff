"""`eventbus projections status`: how far each view has come, and how fast it goes."""

from typing import TYPE_CHECKING

from eventbus.cli.output import JsonValue, print_json, print_line, print_table, time_text
from eventbus.cli.target import load_application, open_database
from eventbus.errors import InvalidConfiguration

if TYPE_CHECKING:
    from eventbus.projections import PartitionStanding, Standing

_Places = dict[tuple[str, str, int], int]


async def show_status(
    name: str | None, app: str | None, database: str | None, service: str | None, seconds: float, json: bool
) -> None:
    """Looks twice, *seconds* apart, and prints. Raises InvalidConfiguration for an unknown name."""
    import anyio

    from eventbus.clock import SystemClock
    from eventbus.projections import standings

    clock = SystemClock()
    versions: dict[str, int] = {}
    if app is not None:
        application = load_application(app)
        topics = {one.projection_name: one.projection_topics for one in application.projections}
        versions = {one.projection_name: one.projection_version for one in application.projections}
        async with application.connected() as connection:
            first = await standings(application.database, clock, transport=connection.transport, topics=topics)
            began = clock.monotonic()
            await anyio.sleep(seconds)
            found = await standings(application.database, clock, transport=connection.transport, topics=topics)
            elapsed = clock.monotonic() - began
    else:
        async with open_database(app, database, service) as opened:
            first = await standings(opened, clock, topics={})
            began = clock.monotonic()
            await anyio.sleep(seconds)
            found = await standings(opened, clock, topics={})
            elapsed = clock.monotonic() - began
    if name is not None:
        known = [one.live.projection for one in found]
        found = [one for one in found if one.live.projection == name]
        if not found:
            raise InvalidConfiguration(
                f"No projection {name!r} was started here; there is {', '.join(known) or 'none'}."
            )
    before = {
        (one.live.projection, partition.topic, partition.partition): partition.position
        for one in first
        for partition in one.partitions
    }
    reports = [_report(one, before, elapsed if seconds > 0 else None, versions) for one in found]
    if json:
        print_json(reports)
        return
    if not reports:
        print_line("no projections have been started here")
    for one, report in zip(found, reports, strict=True):
        print_line(_words(report))
        partitions = [_partition(one, partition, before, elapsed) for partition in one.partitions]
        print_table(partitions, empty="no partition has been read yet")


def _report(one: "Standing", before: _Places, elapsed: float | None, versions: dict[str, int]) -> dict[str, JsonValue]:
    partitions = [_partition(one, partition, before, elapsed) for partition in one.partitions]
    version = versions.get(one.live.projection)
    is_built = version is None or version == one.live.version
    rates = [rate for partition in partitions if isinstance(rate := partition["per_second"], float)]
    return {
        "projection": one.live.projection,
        "state": "paused" if one.pause is not None else "live" if is_built else "not built",
        "generation": one.live.generation,
        "version": one.live.version,
        "code_version": version,
        "position": one.position,
        "lag": one.lag,
        "per_second": sum(rates) if elapsed is not None else None,
        "paused_by": None if one.pause is None else one.pause.paused_by,
        "paused_at": None if one.pause is None else time_text(one.pause.paused_at),
        "partitions": partitions,
        "others": [
            {"generation": other.generation, "version": other.version, "state": other.state, "holder": other.holder}
            for other in one.others
        ],
    }


def _partition(
    one: "Standing", partition: "PartitionStanding", before: _Places, elapsed: float | None
) -> dict[str, JsonValue]:
    place = (one.live.projection, partition.topic, partition.partition)
    # After a switch in between, the position is another generation's, and may be behind.
    moved = max(0, partition.position - before.get(place, partition.position))
    return {
        "topic": partition.topic,
        "partition": partition.partition,
        "position": partition.position,
        "end": partition.end,
        "lag": partition.lag,
        "per_second": None if not elapsed else round(moved / elapsed, 1),
    }


def _words(report: dict[str, JsonValue]) -> str:
    lag, rate = report["lag"], report["per_second"]
    parts = [
        f"{report['projection']}: {report['state']}",
        f"generation {report['generation']} (version {report['version']})",
        "lag not known without --app" if lag is None else f"lag {lag}",
    ]
    if isinstance(rate, float | int):
        parts.append(f"{rate:,.0f} offsets/s")
    if report["paused_by"] is not None:
        parts.append(f"paused since {report['paused_at']} by {report['paused_by']}")
    if report["state"] == "not built":
        parts.append(f"the code is version {report['code_version']}: eventbus projections rebuild")
    return ", ".join(parts)
