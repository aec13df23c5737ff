"""`eventbus migrate`: to another cluster, another database, or both."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from eventbus.cli.output import JsonValue, print_json, print_line, print_table
from eventbus.cli.target import JsonOption, load_application

if TYPE_CHECKING:
    from eventbus.migration.log_plan import TopicPlan
    from eventbus.migration.migration import Moved, Plan, ServiceSpec

EXAMPLE: Final = (
    "Example: eventbus migrate --from embedded:/var/lib/shop --to kafka://k1:9092,k2:9092,k3:9092 "
    "--app order_service.service:app --database 'postgresql://shop@db/{service}'"
)

Apps = Annotated[
    list[str] | None,
    typer.Option(
        "--app", metavar="MODULE:ATTRIBUTE", help="A service, with its views. As often as there are services."
    ),
]
Services = Annotated[
    list[str] | None,
    typer.Option(
        "--service", metavar="NAME", help="A service without its application: its views are filled from the log anew."
    ),
]
Topics = Annotated[
    list[str] | None,
    typer.Option("--topic", metavar="NAME[=NEW]", help="Only this topic; with a new name. Otherwise all of them."),
]


def migrate(
    source: Annotated[
        str | None, typer.Option("--from", metavar="URL", help="The log as it is: embedded:DIR or kafka://…")
    ] = None,
    target: Annotated[str | None, typer.Option("--to", metavar="URL", help="The log as it is to be.")] = None,
    app: Apps = None,
    service: Services = None,
    from_database: Annotated[
        str | None,
        typer.Option(
            "--from-database", metavar="URL", help="Where services have their data, if not where it is by default."
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="URL",
            help="Where to move it; {service} stands for a service's name. Otherwise it stays.",
        ),
    ] = None,
    topic: Topics = None,
    partitions: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Of the new topics. Every consumer then has to have read to the end."),
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, max=32, help="Of the new topics; 3 on a cluster of three or more.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be moved, and change nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """
    Move services to another cluster, another database, or both; they go on where they were.

    Topics are copied with keys, headers, times and order, the offsets of groups and the services' own checkpoints said
    anew for the new log, and everything is compared afterwards. Stop every service first. Killed in the middle, it goes
    on when it is run again. The source stays as it is, so that there is a way back; the exception is a database that
    has no --database to go to.
    """
    from eventbus.cli.migration_bars import MigrationBars
    from eventbus.errors import InvalidConfiguration
    from eventbus.migration.log_plan import topic_choice
    from eventbus.migration.migration import Migration

    specs = _services(source, app or (), service or (), from_database, database)
    if (source is None) != (target is None) or (source is None and database is None):
        raise InvalidConfiguration(
            "Say what is to be moved: --from URL --to URL for the log, --database URL for the services' data, or both."
        )
    if database is not None and not specs:
        raise InvalidConfiguration("Say whose data: --app module:attribute or --service NAME, once a service.")
    with MigrationBars() as bars:
        migration = Migration(source, target, topic_choice(topic or (), partitions, replicas), specs, bars)
        with migration.opened():
            plan = migration.plan()
            moved = None if dry_run else migration.run(plan)
    if moved is None:
        _show_plan(plan, json)
    else:
        _show_moved(moved, json, services=bool(specs))


def _services(
    source: str | None, apps: "list[str] | tuple[()]", names: "list[str] | tuple[()]", old: str | None, new: str | None
) -> "list[ServiceSpec]":
    from eventbus.config import load_settings
    from eventbus.errors import InvalidConfiguration
    from eventbus.migration.migration import ServiceSpec

    loaded = [load_application(reference) for reference in apps]
    projections = {application.name: application.projections for application in loaded}
    every = [application.name for application in loaded] + list(names)
    if len(set(every)) < len(every):
        raise InvalidConfiguration("Name each service once, by --app or by --service.")
    for option, url in (("--from-database", old), ("--database", new)):
        if url is not None and "{service}" not in url and len(every) > 1:
            raise InvalidConfiguration(
                f"{option} names one database for {len(every)} services, and each has its own: write {{service}} in it."
            )
    specs: list[ServiceSpec] = []
    for name in every:
        settings = load_settings(name, broker_url=source)
        old_url = settings.effective_database_url if old is None else old.replace("{service}", name)
        new_url = None if new is None else new.replace("{service}", name)
        specs.append(ServiceSpec(name, old_url, new_url, projections.get(name)))
    return specs


def _show_plan(plan: "Plan", json: bool) -> None:
    topics = [_planned(topic) for topic in plan.topics]
    if json:
        print_json(
            {"topics": topics, "groups": plan.groups, "tables": plan.tables, "filled_from_the_log": plan.left_out}
        )
        return
    if topics:
        print_table(topics, empty="")
    for group, offsets in plan.groups.items():
        print_line(f"group {group}: {offsets} offsets")
    for service, tables in plan.tables.items():
        print_line(f"{service}: {sum(tables.values())} rows in {sum(1 for rows in tables.values() if rows)} tables")
        for projection, reason in plan.left_out[service].items():
            print_line(f"{service}: the view {projection} is filled from the log at the first start: {reason}")
    print_line("Nothing was changed.")


def _planned(topic: "TopicPlan") -> dict[str, JsonValue]:
    return {
        "topic": topic.name,
        "becomes": topic.new_name,
        "partitions": topic.partitions,
        "replicas": topic.request.replicas,
        "offsets": topic.offsets,
        "there_already": sum(topic.there.values()),
    }


def _show_moved(moved: "Moved", json: bool, *, services: bool) -> None:
    topics: list[dict[str, JsonValue]] = [
        {
            "topic": topic.plan.new_name,
            "partitions": topic.plan.partitions,
            "records": topic.records,
            "written_now": topic.written,
            "bytes": topic.bytes,
            "checksum": topic.checksum,
        }
        for topic in moved.topics
    ]
    found: list[dict[str, JsonValue]] = [
        {
            "service": one.service,
            "from": one.source,
            "to": one.target,
            "was_moved_before": one.was_done,
            "tables": [
                {"table": table.name, "rows": table.rows, "written_now": table.written, "checksum": table.checksum}
                for table in one.tables
            ],
            "filled_from_the_log": one.left_out,
            "left_where_they_are": one.foreign,
            "rows_about_other_logs": one.left_rows,
        }
        for one in moved.services
    ]
    if json:
        print_json(
            {
                "topics": topics,
                "groups": moved.groups,
                "offsets_without_a_place": moved.skipped_offsets,
                "services": found,
            }
        )
        return
    if topics:
        print_table(topics, empty="")
        print_line(f"{sum(topic.records for topic in moved.topics)} records are there, and compared with their source.")
    for group, offsets in moved.groups.items():
        print_line(f"group {group}: {offsets} offsets")
    for words in moved.skipped_offsets:
        print_line(f"an offset has no place in the new log: {words}")
    for one in moved.services:
        if one.tables and one.tables[0].checksum:
            rows: list[dict[str, JsonValue]] = [
                {"table": table.name, "rows": table.rows, "checksum": table.checksum} for table in one.tables
            ]
            print_table([row for row in rows if row["rows"]], empty="no rows")
        state = "had been moved before" if one.was_done else "is moved"
        print_line(
            f"{one.service}: {one.source} {state}, to {one.target}"
            if one.source != one.target
            else (
                f"{one.service}: {one.source} {'spoke' if one.was_done else 'speaks'} of the new log"
                f"{' already' if one.was_done else ''}"
            )
        )
        for words in one.left_out:
            print_line(f"{one.service}: a view is filled from the log at the first start: {words}")
        if one.foreign:
            print_line(f"{one.service}: tables of its own stay where they are: {', '.join(one.foreign)}")
        if one.left_rows:
            print_line(f"{one.service}: {one.left_rows} rows are about yet another log, and stay as they are")
    if not services:
        print_line("No service was named: their checkpoints still name the old log (--app, --service).")
