"""
DescribeConfigs (key 32), v1-4: settings of topics and of the broker.

Behaviour
  - Every key with its value, where the value comes from, and (when asked) what else would stand in for it. No keys
    asked (null or, as old clients send it, an empty list): all keys.
  - Topic: UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION. Broker: its own id, or "" for the defaults of all
    brokers, of which there are none set; another id: INVALID_REQUEST. Other resources: INVALID_REQUEST.
Version notes
  - v1 sources and synonyms (KIP-226); v3 types and documentation (KIP-569)

AlterConfigs (key 33), v0-2: replaces all settings of a topic. IncrementalAlterConfigs (key 44), v0-1: changes some
(KIP-339).

Behaviour
  - Topic settings hold from the next append on and survive a restart. validate_only checks and changes nothing. Each
    resource succeeds or fails as a whole.
  - Broker settings are given at start (--set, --config): INVALID_REQUEST, and the text says so.
  - A resource or a key that comes twice: INVALID_REQUEST.
  - Incremental: 0 set, 1 delete, 2 append and 3 subtract (lists only).

ListConfigResources (key 74), v0-1: v0 asks for client-metrics resources, of which there are none; v1 (KIP-1142) for
topics and brokers too; a type that is unknown: UNSUPPORTED_VERSION.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from broker.config import TOPIC_KEYS, ConfigEntry, ConfigType
from broker.errors import ErrorCode, KafkaError
from broker.handlers.context import BrokerState, RequestContext
from broker.topics import Topic
from broker.topics.names import check_name
from broker.wire.messages.configs import (
    AlterConfigsRequest,
    AlterConfigsResource,
    AlterConfigsResourceResult,
    AlterConfigsResponse,
    ConfigResource,
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
    IncrementalAlterConfigsEntry,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResource,
    IncrementalAlterConfigsResourceResult,
    IncrementalAlterConfigsResponse,
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)

_TOPIC, _BROKER = 2, 4
_BROKER_LOGGER, _CLIENT_METRICS, _GROUP = 8, 16, 32
_SET, _DELETE, _APPEND, _SUBTRACT = 0, 1, 2, 3
_ResourceKey = tuple[int, str]


def handle_describe_configs(context: RequestContext, request: DescribeConfigsRequest) -> DescribeConfigsResponse:
    return DescribeConfigsResponse(
        results=[_describe(context.broker, request, resource) for resource in request.resources]
    )


def _describe(
    broker: BrokerState, request: DescribeConfigsRequest, resource: DescribeConfigsResource
) -> DescribeConfigsResult:
    result = DescribeConfigsResult(
        error_message=None, resource_type=resource.resource_type, resource_name=resource.resource_name
    )
    try:
        entries = _entries(broker, resource)
    except KafkaError as refused:
        result.error_code, result.error_message = refused.code, refused.message
        return result
    result.configs = [
        DescribeConfigsResourceResult(
            name=entry.name,
            value=entry.value,
            read_only=entry.read_only,
            config_source=entry.source,
            is_sensitive=entry.sensitive,
            synonyms=[
                DescribeConfigsSynonym(name=synonym.name, value=synonym.value, source=synonym.source)
                for synonym in entry.synonyms
            ]
            if request.include_synonyms
            else (),
            config_type=entry.type,
            documentation=entry.documentation if request.include_documentation else None,
        )
        for entry in entries
    ]
    return result


def _entries(broker: BrokerState, resource: DescribeConfigsResource) -> list[ConfigEntry]:
    names = resource.configuration_keys or None
    if resource.resource_type == _TOPIC:
        check_name(resource.resource_name)
        return _topic(broker, resource.resource_name).config.describe(broker.config, names)
    if resource.resource_type == _BROKER:
        if resource.resource_name == "":
            return []
        _check_broker(broker, resource.resource_name)
        return broker.config.describe(names)
    raise KafkaError(ErrorCode.INVALID_REQUEST, f"Unsupported resource type: {resource.resource_type}")


def _topic(broker: BrokerState, name: str) -> Topic:
    topic = broker.catalog.find(name)
    if topic is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{name}' does not exist.")
    return topic


def _check_broker(broker: BrokerState, name: str) -> None:
    if name != str(broker.node_id):
        raise KafkaError(
            ErrorCode.INVALID_REQUEST, f"Unexpected broker id, expected {broker.node_id}, but received {name}"
        )


def handle_alter_configs(context: RequestContext, request: AlterConfigsRequest) -> AlterConfigsResponse:
    repeated = _repeated((each.resource_type, each.resource_name) for each in request.resources)
    return AlterConfigsResponse(
        responses=[
            _alter(context.broker, each, repeated, validate_only=request.validate_only) for each in request.resources
        ]
    )


def _alter(
    broker: BrokerState, resource: AlterConfigsResource, repeated: AbstractSet[_ResourceKey], *, validate_only: bool
) -> AlterConfigsResourceResult:
    result = AlterConfigsResourceResult(
        error_message=None, resource_type=resource.resource_type, resource_name=resource.resource_name
    )
    try:
        _check_once(resource.resource_type, resource.resource_name, repeated, [each.name for each in resource.configs])
        topic = _alterable(broker, resource.resource_type, resource.resource_name)
        overrides = {entry.name: _given(entry.name, entry.value) for entry in resource.configs}
        _replace(broker, topic, overrides, validate_only=validate_only)
    except KafkaError as refused:
        result.error_code, result.error_message = refused.code, refused.message
    return result


def handle_incremental_alter_configs(
    context: RequestContext, request: IncrementalAlterConfigsRequest
) -> IncrementalAlterConfigsResponse:
    repeated = _repeated((each.resource_type, each.resource_name) for each in request.resources)
    return IncrementalAlterConfigsResponse(
        responses=[
            _change(context.broker, each, repeated, validate_only=request.validate_only) for each in request.resources
        ]
    )


def _change(
    broker: BrokerState,
    resource: IncrementalAlterConfigsResource,
    repeated: AbstractSet[_ResourceKey],
    *,
    validate_only: bool,
) -> IncrementalAlterConfigsResourceResult:
    result = IncrementalAlterConfigsResourceResult(
        error_message=None, resource_type=resource.resource_type, resource_name=resource.resource_name
    )
    try:
        _check_once(resource.resource_type, resource.resource_name, repeated, [each.name for each in resource.configs])
        topic = _alterable(broker, resource.resource_type, resource.resource_name)
        overrides = dict(topic.overrides)
        for entry in resource.configs:
            _apply(broker, topic, overrides, entry)
        _replace(broker, topic, overrides, validate_only=validate_only)
    except KafkaError as refused:
        result.error_code, result.error_message = refused.code, refused.message
    return result


def _apply(broker: BrokerState, topic: Topic, overrides: dict[str, str], entry: IncrementalAlterConfigsEntry) -> None:
    if entry.config_operation == _DELETE:
        overrides.pop(entry.name, None)
        return
    value = _given(entry.name, entry.value)
    if entry.config_operation == _SET:
        overrides[entry.name] = value
        return
    key = TOPIC_KEYS.get(entry.name)
    if entry.config_operation not in (_APPEND, _SUBTRACT):
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"Unknown config operation: {entry.config_operation}")
    if key is None or key.type is not ConfigType.LIST:
        raise KafkaError(ErrorCode.INVALID_CONFIG, f"Can't append or subtract: {entry.name} is not a list")
    (current,) = topic.config.describe(broker.config, [entry.name])
    items = [item for item in (current.value or "").split(",") if item]
    change = [item.strip() for item in value.split(",") if item.strip()]
    if entry.config_operation == _APPEND:
        items += [item for item in change if item not in items]
    else:
        items = [item for item in items if item not in change]
    overrides[entry.name] = ",".join(items)


def _repeated(resources: Iterable[_ResourceKey]) -> AbstractSet[_ResourceKey]:
    return {resource for resource, times in Counter(resources).items() if times > 1}


def _check_once(resource_type: int, name: str, repeated: AbstractSet[_ResourceKey], keys: Sequence[str]) -> None:
    if (resource_type, name) in repeated:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "Each resource must appear at most once.")
    if len(set(keys)) != len(keys):
        raise KafkaError(ErrorCode.INVALID_REQUEST, "Error due to duplicate config keys")


def _alterable(broker: BrokerState, resource_type: int, name: str) -> Topic:
    if resource_type == _TOPIC:
        return _topic(broker, name)
    if resource_type == _BROKER:
        if name:
            _check_broker(broker, name)
        raise KafkaError(
            ErrorCode.INVALID_REQUEST,
            "broker settings are given when it starts: broker serve --set KEY=VALUE or --config FILE",
        )
    raise KafkaError(ErrorCode.INVALID_REQUEST, f"Unsupported resource type: {resource_type}")


def _given(name: str, value: str | None) -> str:
    if value is None:
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"Null value not supported for : {name}")
    return value


def _replace(broker: BrokerState, topic: Topic, overrides: dict[str, str], *, validate_only: bool) -> None:
    if validate_only:
        broker.catalog.check_configs(overrides)
    else:
        broker.catalog.replace_configs(topic, overrides)


def handle_list_config_resources(
    context: RequestContext, request: ListConfigResourcesRequest
) -> ListConfigResourcesResponse:
    broker = context.broker
    if context.version == 0:
        return ListConfigResourcesResponse()
    wanted = set(request.resource_types) or {_TOPIC, _BROKER}
    if wanted - {_TOPIC, _BROKER, _BROKER_LOGGER, _CLIENT_METRICS, _GROUP}:
        return ListConfigResourcesResponse(error_code=ErrorCode.UNSUPPORTED_VERSION)
    resources: list[ConfigResource] = []
    if _TOPIC in wanted:
        resources += [ConfigResource(resource_name=topic.name, resource_type=_TOPIC) for topic in broker.catalog]
    if _BROKER in wanted:
        resources.append(ConfigResource(resource_name=str(broker.node_id), resource_type=_BROKER))
    return ListConfigResourcesResponse(config_resources=resources)
