from pathlib import Path

import pytest

from eventbus.config import BrokerUrl, EmbeddedBroker, KafkaCluster, load_settings, state_directory
from eventbus.errors import InvalidConfiguration


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
