"""Keys, types, defaults and ranges; what is refused, and with which words."""

import subprocess
import sys
from pathlib import Path

import pytest

from broker.config import (
    BROKER_KEYS,
    TOPIC_KEYS,
    BrokerConfig,
    ConfigSource,
    InvalidConfig,
    TopicConfig,
    parse_assignment,
    read_properties,
)


def test_defaults_are_kafkas_where_nothing_else_is_said() -> None:
    """Spot checks against Kafka 4.3.1's own definitions."""
    config = BrokerConfig()
    assert (config.num_partitions, config.message_max_bytes, config.socket_request_max_bytes) == (1, 1048588, 104857600)
    topic = TopicConfig.parse({}, config)
    assert (topic.retention_ms, topic.segment_bytes, topic.cleanup_policy) == (604800000, 1073741824, ("delete",))


def test_the_broker_listens_on_the_loopback_unless_told_otherwise() -> None:
    """Nothing asks a client who it is, so nobody from outside gets in by default."""
    assert BrokerConfig().listeners == "PLAINTEXT://127.0.0.1:9092"


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"num.partition": "1"}, "unknown broker key num.partition: did you mean num.partitions?"),
        ({"zzz": "1"}, "unknown broker key zzz: docs/reference/configuration.md lists the keys"),
        ({"num.partitions": "0"}, "num.partitions=0: expected a whole number from 1 upwards (default 1)"),
        ({"num.partitions": "many"}, "num.partitions=many: expected a whole number from 1 upwards (default 1)"),
        (
            {"log.retention.ms": "soon"},
            "log.retention.ms=soon: expected a whole number from -1 upwards (default unset)",
        ),
        ({"num.partitions": "2147483648"}, "num.partitions=2147483648: expected a whole number"),
        ({"auto.create.topics.enable": "yes"}, "auto.create.topics.enable=yes: expected true, false (default true)"),
        ({"log.cleanup.policy": "shred"}, "log.cleanup.policy=shred: expected compact, delete"),
        (
            {"log.cleaner.min.cleanable.ratio": "nan"},
            "log.cleaner.min.cleanable.ratio=nan: expected a number from 0 to 1",
        ),
        ({"compression.gzip.level": "0"}, "compression.gzip.level=0: expected a whole number from 1 to 9, or -1"),
        ({"log.dirs": "/a,/b"}, "log.dirs=/a,/b: expected one directory"),
        ({"default.replication.factor": "3"}, "default.replication.factor=3: expected"),
        (
            {"group.min.session.timeout.ms": "5000", "group.max.session.timeout.ms": "4000"},
            "expected at most group.max.session.timeout.ms, which is 4000",
        ),
    ],
)
def test_what_is_refused_names_the_key_the_value_and_the_way_out(texts: dict[str, str], words: str) -> None:
    """One sentence that a person can act on."""
    with pytest.raises(InvalidConfig) as refused:
        BrokerConfig.parse(texts)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("texts", "retention_ms"),
    [
        ({"log.retention.hours": "2"}, 7_200_000),
        ({"log.retention.hours": "2", "log.retention.minutes": "3"}, 180_000),
        ({"log.retention.hours": "2", "log.retention.ms": "5"}, 5),
        ({"log.retention.hours": "-1"}, -1),
    ],
)
def test_a_topic_gets_its_defaults_from_the_broker(texts: dict[str, str], retention_ms: int) -> None:
    """The finest unit that is set wins; -1 is for ever in every unit."""
    assert TopicConfig.parse({}, BrokerConfig.parse(texts)).retention_ms == retention_ms


def test_a_topic_key_is_refused_as_a_broker_key_is() -> None:
    """CreateTopics answers these words with INVALID_CONFIG."""
    with pytest.raises(InvalidConfig, match=r"unknown topic key retention: did you mean retention\.ms\?"):
        TopicConfig.parse({"retention": "1"}, BrokerConfig())
    with pytest.raises(InvalidConfig, match=r"segment\.bytes=14: expected a whole number from 1048576 upwards"):
        TopicConfig.parse({"segment.bytes": "14"}, BrokerConfig())


def test_every_topic_key_of_kafka_is_described_with_its_default() -> None:
    """33 keys of Kafka's and one of ours; tools and Streams ask for them all."""
    rows = TopicConfig.parse({}, BrokerConfig()).describe(BrokerConfig())
    assert len(rows) == 34
    assert all(row.source is ConfigSource.DEFAULT_CONFIG and row.is_default and row.documentation for row in rows)
    assert {row.name: row.value for row in rows}["flush.messages"] == "9223372036854775807"
    assert "internal.segment.bytes" not in {row.name for row in rows}


def test_a_description_tells_where_a_value_comes_from_and_what_is_next_in_line() -> None:
    """The topic's own value, then what the broker was told, then the default."""
    broker = BrokerConfig.parse({"log.retention.ms": "1000"})
    (row,) = TopicConfig.parse({"retention.ms": "5"}, broker).describe(broker, ["retention.ms"])
    assert (row.value, row.source) == ("5", ConfigSource.DYNAMIC_TOPIC_CONFIG)
    assert [(each.name, each.value, each.source.name) for each in row.synonyms] == [
        ("retention.ms", "5", "DYNAMIC_TOPIC_CONFIG"),
        ("log.retention.ms", "1000", "STATIC_BROKER_CONFIG"),
        ("log.retention.hours", "168", "DEFAULT_CONFIG"),
    ]


def test_the_brokers_own_keys_are_described_as_read_only() -> None:
    """Its file and its command line are the only places to change them."""
    rows = {row.name: row for row in BrokerConfig.parse({"num.partitions": "12"}).describe()}
    assert rows.keys() == {key.name for key in BROKER_KEYS.values() if not key.internal}
    assert (rows["num.partitions"].value, rows["num.partitions"].source.name) == ("12", "STATIC_BROKER_CONFIG")
    assert rows["log.roll.ms"].value is None
    assert all(row.read_only for row in rows.values())


def test_a_configuration_that_was_written_for_apache_kafka_is_understood() -> None:
    """Keys that mean nothing here are checked, kept and described; what asks for no protection passes."""
    config = BrokerConfig.parse(
        {
            "process.roles": "broker,controller",
            "broker.id": "7",
            "log.dir": "/data",
            "num.network.threads": "5",
            "controller.quorum.voters": "1@a:9093,2@b:9093",
            "group.consumer.min.session.timeout.ms": "30000",
            "unstable.api.versions.enable": "true",
            "ssl.client.auth": "none",
            "ssl.endpoint.identification.algorithm": "",
        }
    )
    assert (config.node_id, config.log_dirs, config.value("num.network.threads")) == (7, "/data", 5)
    rows = {row.name: row for row in config.describe()}
    assert (rows["num.network.threads"].value, rows["num.network.threads"].source.name) == ("5", "STATIC_BROKER_CONFIG")
    assert (rows["num.io.threads"].value, rows["num.io.threads"].source.name) == ("8", "DEFAULT_CONFIG")
    assert not rows.keys() & {"unstable.api.versions.enable", "ssl.client.auth"}
    with pytest.raises(InvalidConfig, match=r"num\.io\.threads=0: expected a whole number from 1 upwards"):
        BrokerConfig.parse({"num.io.threads": "0"})


def test_the_newer_name_of_a_key_wins_over_the_older_one() -> None:
    """log.dirs over log.dir, node.id over broker.id; an id of -1 is none."""
    texts = {"broker.id": "7", "node.id": "3", "log.dir": "/old", "log.dirs": "/new"}
    config = BrokerConfig.parse(texts)
    assert (config.node_id, config.log_dirs) == (3, "/new")
    assert BrokerConfig.parse({"broker.id": "-1"}).node_id == 1


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("ssl.keystore.password", "secret", "nothing is encrypted"),
        ("ssl.client.auth", "required", "nothing is encrypted"),
        ("security.inter.broker.protocol", "SASL_SSL", "nothing is encrypted"),
        ("listener.name.inside.sasl.enabled.mechanisms", "PLAIN", "nothing is encrypted"),
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "no access rules"),
        ("super.users", "User:admin", "no access rules"),
        ("create.topic.policy.class.name", "com.example.Policy", "no code is loaded"),
        ("config.providers", "env", "values are taken as they are written"),
        ("config.providers.env.class", "com.example.Env", "values are taken as they are written"),
    ],
)
def test_a_protection_that_is_not_here_is_refused_without_its_value(key: str, value: str, reason: str) -> None:
    """Whoever sets such a key relies on it; the value may be a password."""
    with pytest.raises(InvalidConfig, match=f"^{key}: .*{reason}") as refused:
        BrokerConfig.parse({key: value})
    assert value not in str(refused.value)


def test_every_synonym_is_a_broker_key_with_the_same_default() -> None:
    """A typing error in the table would give topics another default than Kafka's."""
    topic = TopicConfig.parse({}, BrokerConfig())
    for key in TOPIC_KEYS.values():
        assert {synonym.name for synonym in key.synonyms} <= BROKER_KEYS.keys()
        assert getattr(topic, key.attribute) == key.default, key.name


def test_a_properties_file_is_read_as_kafka_reads_it(tmp_path: Path) -> None:
    """Comments, both separators, joined lines, spaces."""
    file = tmp_path / "broker.properties"
    file.write_text(
        "# comment\n! another\n\nnum.partitions = 3\nlog.dirs: /data/a=b\nlog.cleanup.policy=compact,\\\n  delete\n"
    )
    assert read_properties(file) == {
        "num.partitions": "3",
        "log.dirs": "/data/a=b",
        "log.cleanup.policy": "compact,delete",
    }


def test_a_bad_properties_file_is_refused_with_the_line(tmp_path: Path) -> None:
    """So is one that is not there, by name."""
    file = tmp_path / "broker.properties"
    file.write_text("num.partitions=3\nnonsense\n")
    with pytest.raises(InvalidConfig, match=r"line 2: 'nonsense': expected key=value"):
        read_properties(file)
    with pytest.raises(InvalidConfig, match=r"absent\.properties: No such file"):
        read_properties(tmp_path / "absent.properties")


def test_an_assignment_of_the_command_line_has_two_halves() -> None:
    """KEY=VALUE; the value may contain further signs."""
    assert parse_assignment("a.b=c=d") == ("a.b", "c=d")
    for wrong in ("a.b", "=c", ""):
        with pytest.raises(InvalidConfig, match="expected KEY=VALUE"):
            parse_assignment(wrong)


def test_the_configuration_page_is_up_to_date() -> None:
    """docs/reference/configuration.md is what docs/generate_configuration.py writes now."""
    script = Path(__file__).parents[2] / "docs" / "generate_configuration.py"
    outcome = subprocess.run([sys.executable, script, "--check"], check=False)
    assert outcome.returncode == 0, "run python docs/generate_configuration.py"
