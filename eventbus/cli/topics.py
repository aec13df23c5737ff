"""`eventbus topics`: what a service needs of its topics, and what the cluster has."""

from typing import TYPE_CHECKING

import typer

from eventbus.cli.output import JsonValue, print_json, print_line, print_table
from eventbus.cli.target import AppOption, JsonOption, load_application

if TYPE_CHECKING:
    from eventbus.transport.kafka.administration import ClusterAdministration
    from eventbus.transport.kafka.topic_needs import TopicFinding

app = typer.Typer(help="The topics that a service reads and writes.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def topics() -> None:
    """The topics that a service reads and writes."""


@app.command(epilog="Example: eventbus topics plan --app order_service.service:app")
def plan(app: AppOption = None, json: JsonOption = False) -> None:
    """Show each topic as the service needs it and as it is, and what `apply` would do. Changes nothing."""
    findings, _ = _work(app, apply=False)
    _show(findings, json)


@app.command(epilog="Example: eventbus topics check --app order_service.service:app")
def check(app: AppOption = None, json: JsonOption = False) -> None:
    """Compare, for a pipeline: the exit code is 1 when a topic is missing or is not as the service needs it."""
    findings, _ = _work(app, apply=False)
    _show(findings, json)
    if not all(finding.is_met for finding in findings):
        raise typer.Exit(1)


@app.command(epilog="Example: eventbus topics apply --app order_service.service:app")
def apply(app: AppOption = None, json: JsonOption = False) -> None:
    """
    Create the topics that are missing and set the settings that differ.

    Partitions are never added: a key's records would be in two of them. The exit code is 1 when something is left that
    it cannot change.
    """
    findings, done = _work(app, apply=True)
    _show(findings, json, done)
    if not all(finding.is_met for finding in findings):
        raise typer.Exit(1)


def _work(reference: str | None, *, apply: bool) -> "tuple[list[TopicFinding], list[str]]":
    import anyio

    from eventbus.application.connection import EMBEDDED_TOPICS
    from eventbus.config import KafkaCluster, LogInMemory
    from eventbus.errors import InvalidConfiguration

    application = load_application(reference)
    broker = application.settings.broker
    if isinstance(broker, LogInMemory):
        raise InvalidConfiguration("A log in memory has the topics that its process makes: there is nothing to plan.")

    async def work() -> "tuple[list[TopicFinding], list[str]]":
        from eventbus.transport.kafka.administration import ClusterAdministration
        from eventbus.transport.kafka.topic_needs import topic_findings

        settings = {"retention.ms": "-1"}
        async with application.connected() as connection:
            if isinstance(broker, KafkaCluster):
                cluster = ClusterAdministration(connection.address, broker.options)
            else:
                cluster = ClusterAdministration(connection.address, {})
                settings |= EMBEDDED_TOPICS

            def look() -> "tuple[list[TopicFinding], list[str]]":
                replication = application.settings.replication
                found = topic_findings(cluster, application.topics, settings, replication)
                if not apply:
                    return found, []
                done = _apply(cluster, found)
                return topic_findings(cluster, application.topics, settings, replication), done

            return await anyio.to_thread.run_sync(look)

    return anyio.run(work)


def _apply(cluster: "ClusterAdministration", findings: "list[TopicFinding]") -> list[str]:
    missing = {finding.topic: finding.need for finding in findings if finding.state is None}
    cluster.create(missing)
    done = [f"{topic}: created with {need.partitions} partitions" for topic, need in missing.items()]
    for finding in findings:
        if finding.settings:
            cluster.alter(finding.topic, finding.settings)
            done.append(f"{finding.topic}: set {_settings(finding)}")
    return done


def _settings(finding: "TopicFinding") -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(finding.settings.items()))


def _show(findings: "list[TopicFinding]", json: bool, done: list[str] | None = None) -> None:
    rows: list[dict[str, JsonValue]] = [
        {
            "topic": finding.topic,
            "state": "missing" if finding.state is None else "as needed" if finding.is_met else "differs",
            "partitions": finding.need.partitions,
            "partitions_there": None if finding.state is None else finding.state.partitions,
            "replicas": finding.need.replicas,
            "replicas_there": None if finding.state is None else finding.state.replicas,
        }
        for finding in findings
    ]
    if json:
        for row, finding in zip(rows, findings, strict=True):
            row |= {"settings": finding.need.configs, "to_set": finding.settings, "faults": finding.faults}
        print_json({"topics": rows, "done": done or []})
        return
    print_table(rows, empty="the service reads and writes no topic")
    for line in done or ():
        print_line(line)
    for finding in findings:
        if finding.settings:
            print_line(f"{finding.topic}: to be set: {_settings(finding)}")
        for fault in finding.faults:
            print_line(f"{finding.topic} {fault}")
