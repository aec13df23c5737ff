"""An Apache Kafka with TLS that wants a client's certificate and a SCRAM password, reached by a kafka:// URL."""

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import anyio
import httpx
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from eventbus.config import BrokerUrl
from eventbus.config import KafkaCluster as KafkaUrl
from eventbus.errors import BrokerUnavailable
from eventbus.transport import KafkaTransport
from samples.demo.processes import Service
from tests.interop.shop import run_eventbus
from tests.interop.toolchain import kafka_jars
from tests.samples.conftest import free_port
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.kafka_server import KafkaCluster

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240), pytest.mark.anyio]
PASSWORD = "swordfish & chips=50%"  # noqa: S105 (what a URL has to be careful with)


@dataclass(frozen=True)
class Secured:
    bootstrap: str
    certificates: Certificates

    def url(self, **options: str | Path) -> str:
        """For the order service, with what differs from the right options; underscores stand for dots."""
        right: Mapping[str, str | Path] = {
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": self.certificates.authority,
            "ssl.certificate.location": self.certificates.client,
            "ssl.key.location": self.certificates.client_key,
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "order-service",
            "sasl.password": PASSWORD,
        }
        changed = {name.replace("_", "."): value for name, value in options.items()}
        return f"kafka://{self.bootstrap}?{urlencode({**right, **changed})}"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    certificates = make_certificates(folder / "certificates")
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required username=admin password=admin"
    properties = {
        "listener.security.protocol.map": "PLAINTEXT:SASL_SSL,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "ssl.client.auth": "required",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.server),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.authority),
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.plaintext.plain.sasl.jaas.config": f"{login} user_admin=admin;",
        "listener.name.plaintext.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
    }
    cluster = KafkaCluster(kafka_jars(), folder / "kafka", properties=properties)
    try:
        (node,) = cluster.nodes
        node.share_classes()
        node.format()
        node.start()
        found = Secured(cluster.bootstrap, certificates)
        _add_user(found)
        yield found
    finally:
        cluster.close()


def _add_user(secured: Secured) -> None:
    """As an operator does; waits for the server, too."""
    admin = AdminClient(
        {
            "bootstrap.servers": secured.bootstrap,
            **_options(secured.url(sasl_mechanism="PLAIN", sasl_username="admin", sasl_password="admin")),  # noqa: S106
        },
        logger=logging.getLogger("quiet"),
    )
    user = UserScramCredentialUpsertion(
        "order-service", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), PASSWORD.encode()
    )
    until = time.monotonic() + 90
    while True:
        try:
            for done in admin.alter_user_scram_credentials([user], request_timeout=10).values():
                done.result(20)
        except (KafkaException, TimeoutError):
            assert time.monotonic() < until
        else:
            return


def _options(url: str) -> dict[str, str]:
    parsed = BrokerUrl.parse(url)
    assert isinstance(parsed, KafkaUrl)
    return dict(parsed.options)


def test_a_service_works_over_tls_with_its_certificate_and_its_password(secured: Secured, tmp_path: Path) -> None:
    """Topics made, an event published in a transaction and read by a view; the commands take the same URL."""
    settings = {
        "EVENTBUS_BROKER_URL": secured.url(),
        "EVENTBUS_DATABASE_URL": f"sqlite:///{tmp_path}/orders.sqlite3",
    }
    orders = Service("order-service", "order_service", free_port(), settings, tmp_path / "order.log")
    orders.start()
    try:
        orders.await_ready(timeout_seconds=60)
        line = {"sku": "apple", "quantity": 1, "price": "1"}
        order = {"order_id": "o-1", "customer_id": "c", "lines": [line]}
        assert httpx.post(f"{orders.url}/orders", json=order, timeout=20).status_code == 202
        until = time.monotonic() + 60
        while httpx.get(f"{orders.url}/orders/o-1", timeout=10).json() is None:
            assert time.monotonic() < until, orders.last_lines(50)
            time.sleep(0.1)
        assert orders.stop() == 0
        assert PASSWORD not in orders.log.read_text()
    finally:
        orders.kill()
    checked = run_eventbus(["topics", "check", "--app", "order_service.service:app"], settings)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"sasl_password": "guess"}, "authentication failed"),
        ({"ssl_ca_location": "STRANGER"}, "certificate verify failed"),
    ],
    ids=["wrong password", "another authority"],
)
async def test_who_cannot_show_what_is_asked_for_is_refused_with_the_reason(
    secured: Secured, wrong: dict[str, str], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is read or written, and the service's log says why, without the password."""
    stranger = str(secured.certificates.stranger)
    url = secured.url(**{name: stranger if value == "STRANGER" else value for name, value in wrong.items()})
    parsed = BrokerUrl.parse(url)
    assert isinstance(parsed, KafkaUrl)
    transport = KafkaTransport(
        parsed.bootstrap, options={name: value for name, value in parsed.options.items() if value}
    )
    await transport.start()
    try:
        with anyio.fail_after(60):
            while words not in caplog.text.lower():
                with pytest.raises(BrokerUnavailable):
                    await transport.describe([])
    finally:
        await transport.aclose()
    assert PASSWORD not in caplog.text
