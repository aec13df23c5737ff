"""The permissions that the documentation says a service needs, on an Apache Kafka that allows nothing else."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, AdminClient, ResourcePatternType
from confluent_kafka.admin import ResourceType as Resource

from eventbus.transport.kafka.administration import ClusterAdministration
from samples.demo.processes import Service
from tests.interop.shop import NAMES, place, run_eventbus, settled
from tests.interop.toolchain import kafka_jars
from tests.samples.conftest import free_port
from tests.servers.kafka_server import KafkaCluster

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
SCRIPT = Path(__file__).parents[1] / "docs" / "examples" / "service_acls.sh"
RESOURCES = {"--topic": Resource.TOPIC, "--group": Resource.GROUP, "--transactional-id": Resource.TRANSACTIONAL_ID}
USERS = ("admin", *NAMES, "deployment", "monitor")


def security(user: str) -> dict[str, str]:
    """librdkafka's options for a user, whose password is the name."""
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": user,
        "sasl.password": user,
    }


@dataclass(frozen=True)
class Guarded:
    """A cluster where everybody has to say who he is, and only the admin may do anything."""

    bootstrap: str

    def url(self, user: str) -> str:
        return f"kafka://{self.bootstrap}?" + "&".join(f"{name}={value}" for name, value in security(user).items())

    def allow(self, bindings: Sequence[AclBinding]) -> None:
        """As the admin; waits for the server, too."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, **security("admin")}, logger=None)
        until = time.monotonic() + 60
        while True:
            try:
                for created in admin.create_acls(list(bindings), request_timeout=10).values():
                    created.result()
            except KafkaException:
                assert time.monotonic() < until
            else:
                return


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required username=admin password=admin"
    users = " ".join(f'user_{user}="{user}"' for user in USERS)
    properties = {
        "listener.security.protocol.map": "PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.plaintext.plain.sasl.jaas.config": f"{login} {users};",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:admin;User:ANONYMOUS",  # the controller's listener knows nobody's name
    }
    cluster = KafkaCluster(kafka_jars(), tmp_path / "kafka", properties=properties)
    try:
        (node,) = cluster.nodes
        node.share_classes()
        node.format()
        node.start()
        yield Guarded(cluster.bootstrap)
    finally:
        cluster.close()


def called(directory: Path) -> list[list[str]]:
    """The arguments of each call of `kafka-acls.sh` by the documentation's script."""
    tools, calls = directory / "tools", directory / "calls"
    tools.mkdir()
    tool = tools / "kafka-acls.sh"
    tool.write_text(f'#!/bin/sh\nprintf "%s\\t" "$@" >> {calls}\necho >> {calls}\n')
    tool.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "KAFKA": "kafka:9092"}
    subprocess.run(["sh", "-eu", str(SCRIPT)], env=environment, check=True, timeout=60)
    return [line.rstrip("\t").split("\t") for line in calls.read_text().splitlines()]


def bindings(arguments: Sequence[str]) -> list[AclBinding]:
    """What a call of `kafka-acls.sh` allows."""
    words = [word for word in arguments if word != "--add"]
    given = list(zip(words[::2], words[1::2], strict=True))
    options = dict(given)
    pattern = ResourcePatternType[options.get("--resource-pattern-type", "literal").upper()]
    return [
        AclBinding(
            RESOURCES[kind],
            name,
            pattern,
            options["--allow-principal"],
            "*",
            OPERATIONS[allowed],
            AclPermissionType.ALLOW,
        )
        for kind, name in given
        if kind in RESOURCES
        for option, allowed in given
        if option == "--operation"
    ]


OPERATIONS = {
    "Create": AclOperation.CREATE,
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
}


def wait_for(happened: Callable[[], bool], service: Service) -> None:
    deadline = time.monotonic() + 90
    while not happened():
        assert time.monotonic() < deadline, service.last_lines(50)
        time.sleep(0.1)


def waiting_for(service: Service) -> str:
    """What the service's relay waits for, as its status says it."""
    return str(httpx.get(f"{service.url}/status", timeout=10).json()["relay"]["waiting_for"])


def test_services_have_all_that_they_need_with_these_permissions_and_no_others(
    guarded: Guarded, tmp_path: Path
) -> None:
    """
    Topics made, events published and read, views built and rebuilt, and nothing refused; one that is forgotten is told
    by name, and gone on with when it is there.
    """
    allowed = [bindings(call) for call in called(tmp_path)]
    forgotten = [each for each in allowed if each[0].name == "eventbus.payment-service."]
    assert len(forgotten) == 1
    guarded.allow([one for each in allowed if each not in forgotten for one in each])
    settings = {
        name: {
            "EVENTBUS_BROKER_URL": guarded.url(name),
            "EVENTBUS_DATABASE_URL": f"sqlite:///{tmp_path}/{name}.sqlite3",
        }
        for name in NAMES
    }
    orders, payments = (
        Service(name, name.replace("-", "_"), free_port(), settings[name], tmp_path / f"{name}.log") for name in NAMES
    )
    try:
        orders.start()
        payments.start()
        orders.await_ready(timeout_seconds=60)
        payments.await_ready(timeout_seconds=60)
        place(orders, 1, 3)
        wait_for(lambda: "'eventbus.payment-service." in waiting_for(payments), payments)
        assert "grant it WRITE and DESCRIBE" in waiting_for(payments)
        guarded.allow(forgotten[0])
        settled(orders, 3)
        rebuild = ["projections", "rebuild", "order_summaries", "--app", "order_service.service:app"]
        rebuilt = run_eventbus(rebuild, settings["order-service"])
        assert "equal to the ones before, row by row" in rebuilt.stdout, rebuilt.stderr
        seek = ["consumers", "seek", "--consumer", "order-service", "--topic", "payments", "--to-beginning"]
        planned = run_eventbus([*seek, "--app", "order_service.service:app"], settings["order-service"])
        assert "nothing was changed" in planned.stdout, planned.stderr
        for service in (orders, payments):
            wait_for(lambda url=service.url: httpx.get(f"{url}/health/ready").status_code == 200, service)  # type: ignore[misc]
        assert "authorization" not in orders.log.read_text().lower()
        assert (orders.stop(), payments.stop()) == (0, 0)
    finally:
        orders.kill()
        payments.kill()
    watching = ClusterAdministration(guarded.bootstrap, security("monitor"))
    assert sum(watching.group_offsets("order-service").values()) > 0
    assert sum(found.end for found in watching.ranges({"payments": 12}).values()) > 0
    deployment = {"EVENTBUS_BROKER_URL": guarded.url("deployment")}
    for command in ("check", "apply"):
        done = run_eventbus(["topics", command, "--app", "order_service.service:app", "--json"], deployment)
        assert (done.returncode, done.stderr) == (0, "")
        assert [topic["state"] for topic in json.loads(done.stdout)["topics"]] == ["as needed", "as needed"]
    refused = run_eventbus(["topics", "check", "--app", "order_service.service:app"], settings["order-service"])
    assert refused.returncode == 2
    assert "AUTHORIZATION_FAILED" in refused.stderr
