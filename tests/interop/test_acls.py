"""The permissions that the documentation says a service needs, on an Apache Kafka that allows nothing else."""

import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, AdminClient, ResourcePatternType
from confluent_kafka.admin import ResourceType as Resource

from samples.demo.processes import Service
from tests.interop.toolchain import kafka_jars
from tests.samples.conftest import free_port
from tests.servers.kafka_server import KafkaCluster

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]
SCRIPT = Path(__file__).parents[1] / "docs" / "examples" / "order_service_acls.sh"
RESOURCES = {"--topic": Resource.TOPIC, "--group": Resource.GROUP, "--transactional-id": Resource.TRANSACTIONAL_ID}
USERS = ("admin", "order-service")


def security(user: str) -> dict[str, str]:
    """librdkafka's options for a user, whose password is the name."""
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": user,
        "sasl.password": user,
    }


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """The address of a cluster where everybody has to say who he is, and only the admin may do anything."""
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
        node.format()
        node.start()
        yield cluster.bootstrap
    finally:
        cluster.close()


def bindings(script: str) -> list[AclBinding]:
    """What the lines of `kafka-acls.sh` in the script allow."""
    found: list[AclBinding] = []
    for line in script.splitlines():
        words = shlex.split(line.removeprefix("$ACLS "))
        if not line.startswith("$ACLS "):
            continue
        given = list(zip(words[::2], words[1::2], strict=True))
        options = dict(given)
        pattern = ResourcePatternType[options.get("--resource-pattern-type", "literal").upper()]
        found += [
            AclBinding(
                RESOURCES[kind],
                name,
                pattern,
                "User:order-service",
                "*",
                AclOperation[allowed.upper()],
                AclPermissionType.ALLOW,
            )
            for kind, name in given
            if kind in RESOURCES
            for option, allowed in given
            if option == "--operation"
        ]
    return found


def wait_for(happened: Callable[[], bool], service: Service) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, service.last_lines(50)
        time.sleep(0.1)


def test_a_service_has_all_that_it_needs_with_these_permissions_and_no_others(guarded: str, tmp_path: Path) -> None:
    """Topics made, events published and read, a view built, and nothing refused."""
    admin = AdminClient({"bootstrap.servers": guarded, **security("admin")}, logger=None)
    deadline = time.monotonic() + 60
    while True:
        try:
            for created in admin.create_acls(bindings(SCRIPT.read_text()), request_timeout=10).values():
                created.result()
            break
        except KafkaException:
            assert time.monotonic() < deadline
    options = "&".join(f"{name}={value}" for name, value in security("order-service").items())
    settings = {
        "EVENTBUS_BROKER_URL": f"kafka://{guarded}?{options}",
        "EVENTBUS_DATABASE_URL": f"sqlite:///{tmp_path}/orders.sqlite3",
    }
    orders = Service("order-service", "order_service", free_port(), settings, tmp_path / "order.log")
    orders.start()
    try:
        orders.await_ready()
        order = {
            "order_id": "o-1",
            "customer_id": "c",
            "lines": [{"sku": "apple", "quantity": 1, "price": "1"}],
        }
        assert httpx.post(f"{orders.url}/orders", json=order, timeout=20).status_code == 202
        wait_for(lambda: httpx.get(f"{orders.url}/orders/o-1", timeout=10).json() is not None, orders)
        wait_for(lambda: httpx.get(f"{orders.url}/health/ready", timeout=10).status_code == 200, orders)
        assert "authorization" not in orders.log.read_text().lower()
        assert orders.stop() == 0
    finally:
        orders.kill()
