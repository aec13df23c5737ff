from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException

from eventbus.config import BrokerUrl, EmbeddedBroker, KafkaCluster, load_settings, state_directory
from eventbus.errors import InvalidConfiguration
from eventbus.kafka_options import OPTIONS, for_clients


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("BROKER_URL", "DATABASE_URL", "PARTITIONS", "INSTANCE_ID"):
        monkeypatch.delenv(f"EVENTBUS_{name}", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_without_any_setting_the_broker_is_embedded_in_the_users_state_directory(tmp_path: Path) -> None:
    """A newcomer sets nothing."""
    settings = load_settings("order-service")
    assert settings.broker == EmbeddedBroker(state_directory())
    assert settings.broker.directory.is_absolute()
    assert settings.effective_database_url == f"sqlite:///{state_directory()}/order-service.sqlite3"


def test_a_relative_state_home_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The XDG specification says so, and two working directories must not mean two brokers."""
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    assert state_directory().is_absolute()


def test_the_environment_is_read_and_an_argument_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator's variable counts unless the developer's call says otherwise."""
    monkeypatch.setenv("EVENTBUS_PARTITIONS", "3")
    assert load_settings("s").partitions == 3
    assert load_settings("s", partitions=4).partitions == 4
    assert load_settings("s", partitions=None).partitions == 3


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compose file's `EVENTBUS_DATABASE_URL=` means the default."""
    monkeypatch.setenv("EVENTBUS_DATABASE_URL", "")
    assert load_settings("s").database_url is None


def test_a_relative_embedded_directory_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown and locked is always the whole path."""
    monkeypatch.chdir(tmp_path)
    assert BrokerUrl.parse("embedded:./here/../there") == EmbeddedBroker(tmp_path / "there")
    assert BrokerUrl.parse("embedded:///var/lib/bus") == EmbeddedBroker(Path("/var/lib/bus"))
    assert BrokerUrl.parse("embedded:/var/lib/bus") == EmbeddedBroker(Path("/var/lib/bus"))


def test_a_kafka_url_has_hosts_and_librdkafka_options() -> None:
    """The port may be left out, as everywhere."""
    assert BrokerUrl.parse("kafka://a:1,b,[::1]:9?security.protocol=SSL&ssl.ca.location=/ca.pem") == KafkaCluster(
        "a:1,b:9092,[::1]:9", {"security.protocol": "SSL", "ssl.ca.location": "/ca.pem"}
    )


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("BROKER_URL", "redis://x", "'redis://x' is neither embedded:DIR nor kafka://host:port,host:port"),
        ("BROKER_URL", "localhost:9092", "is neither embedded:DIR nor kafka://"),
        ("BROKER_URL", "kafka://", "host:port"),
        ("BROKER_URL", "kafka://a:1/topic", "has more than hosts and options"),
        ("BROKER_URL", "kafka://a:1?acks=0", "acks cannot be set"),
        ("BROKER_URL", "kafka://a:1?client.rak=x", "is no option of librdkafka: is client.rack meant?"),
        ("BROKER_URL", "kafka://a:99999", "'a:99999' has no port: give a number from 1 to 65535"),
        ("BROKER_URL", "kafka://a:0", "'a:0' has no port"),
        ("BROKER_URL", "kafka://user:secret@a:1", "sasl.username"),
        ("DATABASE_URL", "mysql://u:secret@h/d", "is neither sqlite:///FILE nor postgresql://"),
        ("PARTITIONS", "0", "is '0': input should be greater than or equal to 1"),
        ("PARTITIONS", "many", "is 'many': input should be a valid integer"),
        ("SHUTDOWN_SECONDS", "-1", "greater than or equal to 0"),
    ],
)
def test_a_wrong_variable_is_one_sentence_with_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    """The operator reads which variable it is and what to write, and never a password."""
    monkeypatch.setenv(f"EVENTBUS_{variable}", value)
    with pytest.raises(InvalidConfiguration) as caught:
        load_settings("s")
    text = str(caught.value)
    assert text.startswith(f"EVENTBUS_{variable}")
    assert says in text
    assert "secret" not in text
    assert "\n" not in text


def test_a_wrong_argument_is_named_as_such() -> None:
    """A developer's mistake is not called a variable."""
    with pytest.raises(InvalidConfiguration, match="The setting partitions"):
        load_settings("s", partitions=-1)
    with pytest.raises(InvalidConfiguration, match="The setting partition is no setting: there are broker_url"):
        load_settings("s", partition=1)
    with pytest.raises(InvalidConfiguration, match="The application's name 'a b' is wrong"):
        load_settings("a b")


def test_a_variable_that_is_nearly_a_setting_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Else a misspelt address would silently mean the default."""
    monkeypatch.setenv("EVENTBUS_BROKR_URL", "kafka://a")
    monkeypatch.setenv("EVENTBUS_APP", "service:app")
    load_settings("s")
    assert [record.getMessage() for record in caplog.records] == [
        "EVENTBUS_BROKR_URL is not a setting: is EVENTBUS_BROKER_URL meant?"
    ]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("acks=1", "acks cannot be set: every replica in sync has a record before it counts"),
        ("group.instance.id=a", "group.instance.id cannot be set: EVENTBUS_INSTANCE_ID sets it"),
        ("delivery.timeout.ms=5", "delivery.timeout.ms cannot be set: a record that is given up on"),
        ("client.rak=a", "client.rak is no option of librdkafka: is client.rack meant"),
        ("security.protocol=tls", "security.protocol is 'tls': it has to be one of plaintext, ssl"),
        ("socket.timeout.ms=soon", "socket.timeout.ms is 'soon': it has to be a whole number from 10 to 300000"),
        ("socket.keepalive.enable=yes", "socket.keepalive.enable is 'yes': it has to be true or false"),
        ("client.rack=a&client.rack=b", "the option client.rack is given twice"),
        ("sasl.password=hunter2&nonsense=1", "nonsense is no option of librdkafka"),
    ],
)
def test_a_wrong_option_of_a_kafka_url_is_told_without_secrets(query: str, says: str) -> None:
    """Unknown, reserved, out of range, twice: in one sentence, before any client is made."""
    with pytest.raises(InvalidConfiguration) as error:
        load_settings("s", broker_url=f"kafka://h:1?{query}")
    assert says in str(error.value)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "seconds"),
    [
        ("kafka://k1", 6.0),
        ("kafka://k1?session.timeout.ms=3000", 3.0),
        ("kafka://k1?session.timeout.ms=300000", 6.0),
        ("kafka://k1?session.timeout.ms=1", 1.0),
        ("embedded:", 6.0),
        ("memory:", 6.0),
    ],
)
def test_slots_of_the_outbox_are_leased_for_the_session_time_at_most(url: str, seconds: float) -> None:
    """A longer session is for restarts without a rebalance: rows are not to wait for it; a lease needs a second."""
    assert load_settings("order-service", broker_url=url).lease_seconds == seconds


def test_every_option_that_a_url_takes_is_one_of_librdkafka() -> None:
    """And each client is given those of its kind only, of which librdkafka would warn otherwise."""
    for name in OPTIONS:
        with pytest.raises(KafkaException) as error:
            Consumer({"group.id": "g", name: "no such value", "debug": "no such context"})
        assert "No such configuration property" not in str(error.value), name
    given = {"client.rack": "a", "linger.ms": "5", "fetch.min.bytes": "10"}
    assert set(for_clients(given, "*")) == {"client.rack"}
    assert set(for_clients(given, "P")) == {"client.rack", "linger.ms"}
    assert set(for_clients(given, "C")) == {"client.rack", "fetch.min.bytes"}
