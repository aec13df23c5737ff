"""DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, ListConfigResources."""

import pytest

from broker.config import BROKER_KEYS, TOPIC_KEYS, ConfigSource
from broker.errors import ErrorCode
from broker.wire.messages.configs import (
    AlterConfigsEntry,
    AlterConfigsRequest,
    AlterConfigsResource,
    AlterConfigsResponse,
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    IncrementalAlterConfigsEntry,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResource,
    IncrementalAlterConfigsResponse,
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)
from tests.broker.handlers.conftest import InProcessBroker

TOPIC, BROKER = 2, 4
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3


def describe(
    broker: InProcessBroker, kind: int, name: str, keys: list[str] | None = None
) -> tuple[DescribeConfigsResult, dict[str, DescribeConfigsResourceResult]]:
    resource = DescribeConfigsResource(resource_type=kind, resource_name=name, configuration_keys=keys)
    request = DescribeConfigsRequest(resources=[resource], include_synonyms=True, include_documentation=True)
    (result,) = broker.call(request, DescribeConfigsResponse).results
    return result, {entry.name: entry for entry in result.configs}


def change(broker: InProcessBroker, *entries: tuple[str, int, str | None], validate_only: bool = False) -> int:
    configs = [
        IncrementalAlterConfigsEntry(name=name, config_operation=operation, value=value)
        for name, operation, value in entries
    ]
    resource = IncrementalAlterConfigsResource(resource_type=TOPIC, resource_name="t", configs=configs)
    request = IncrementalAlterConfigsRequest(resources=[resource], validate_only=validate_only)
    return broker.call(request, IncrementalAlterConfigsResponse).responses[0].error_code


def test_every_topic_key_is_answered_with_default_source_and_synonyms(in_process: InProcessBroker) -> None:
    """A young broker left the defaults out."""
    in_process.state.catalog.create("t", 1, {"retention.ms": "5"})
    _, entries = describe(in_process, TOPIC, "t")
    assert set(entries) == {key.name for key in TOPIC_KEYS.values() if not key.internal}
    assert entries["retention.ms"].value == "5"
    assert entries["retention.ms"].config_source == ConfigSource.DYNAMIC_TOPIC_CONFIG
    assert [each.name for each in entries["retention.ms"].synonyms][:2] == ["retention.ms", "log.retention.hours"]
    assert entries["segment.bytes"].config_source == ConfigSource.DEFAULT_CONFIG
    assert all(entry.documentation and entry.config_type for entry in entries.values())


def test_every_broker_key_is_answered_and_only_the_asked_ones_when_asked(in_process: InProcessBroker) -> None:
    """By the broker's id."""
    _, entries = describe(in_process, BROKER, "1")
    assert set(entries) == {key.name for key in BROKER_KEYS.values() if not key.internal}
    _, asked = describe(in_process, BROKER, "1", ["num.partitions"])
    assert set(asked) == {"num.partitions"}


@pytest.mark.parametrize(
    ("kind", "name", "error"),
    [
        (TOPIC, "nope", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (BROKER, "7", ErrorCode.INVALID_REQUEST),
        (16, "x", ErrorCode.INVALID_REQUEST),
    ],
)
def test_what_is_not_there_is_refused_with_words(
    in_process: InProcessBroker, kind: int, name: str, error: ErrorCode
) -> None:
    """Topics, brokers and kinds of resources."""
    result, _ = describe(in_process, kind, name)
    assert result.error_code == error
    assert result.error_message


def test_settings_are_changed_one_by_one_and_hold_from_then_on(in_process: InProcessBroker) -> None:
    """Set, append, subtract, delete; a bad one among them changes nothing."""
    topic = in_process.state.catalog.create("t", 1, {})
    assert change(in_process, ("retention.ms", SET, "7"), ("cleanup.policy", APPEND, "compact")) == ErrorCode.NONE
    assert topic.overrides == {"retention.ms": "7", "cleanup.policy": "delete,compact"}
    assert topic.partitions[0].log.config.retention_ms == 7
    assert change(in_process, ("cleanup.policy", SUBTRACT, "delete"), ("retention.ms", DELETE, None)) == 0
    assert topic.overrides == {"cleanup.policy": "compact"}
    assert change(in_process, ("retention.ms", SET, "8"), ("segment.bytes", SET, "x")) == ErrorCode.INVALID_CONFIG
    assert change(in_process, ("retention.ms", APPEND, "8")) == ErrorCode.INVALID_CONFIG
    assert change(in_process, ("retention.ms", SET, None)) == ErrorCode.INVALID_REQUEST
    assert change(in_process, ("retention.ms", 9, "1")) == ErrorCode.INVALID_REQUEST
    twice = (("retention.ms", SET, "1"), ("retention.ms", SET, "2"))
    assert change(in_process, *twice) == ErrorCode.INVALID_REQUEST
    assert change(in_process, ("retention.ms", SET, "8"), validate_only=True) == ErrorCode.NONE
    assert topic.overrides == {"cleanup.policy": "compact"}


def alter(broker: InProcessBroker, kind: int, name: str, **configs: str) -> int:
    entries = [AlterConfigsEntry(name=key.replace("_", "."), value=value) for key, value in configs.items()]
    resource = AlterConfigsResource(resource_type=kind, resource_name=name, configs=entries)
    return broker.call(AlterConfigsRequest(resources=[resource]), AlterConfigsResponse).responses[0].error_code


def test_alter_configs_replaces_all_settings_of_a_topic(in_process: InProcessBroker) -> None:
    """What is not named is a default again; the broker's own are given at start."""
    topic = in_process.state.catalog.create("t", 1, {"retention.ms": "5"})
    assert alter(in_process, TOPIC, "t", segment_ms="9") == ErrorCode.NONE
    assert topic.overrides == {"segment.ms": "9"}
    assert alter(in_process, BROKER, "1", log_retention_hours="9") == ErrorCode.INVALID_REQUEST


def test_resources_with_settings_are_listed(in_process: InProcessBroker) -> None:
    """From v1 on; v0 asks for client metrics alone."""
    in_process.state.catalog.create("t", 1, {})
    answer = in_process.call(ListConfigResourcesRequest(), ListConfigResourcesResponse, 1)
    assert {(each.resource_type, each.resource_name) for each in answer.config_resources} == {(2, "t"), (4, "1")}
    assert not in_process.call(ListConfigResourcesRequest(), ListConfigResourcesResponse, 0).config_resources
