"""
Every declared message, a family to a file. Families are imported when their first message is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

from broker.wire.apis import APIS, ApiKey
from broker.wire.declaration import Request, Response

FAMILIES = {
    ApiKey.PRODUCE: "produce",
    ApiKey.FETCH: "fetch",
    ApiKey.LIST_OFFSETS: "offsets",
    ApiKey.METADATA: "metadata",
    ApiKey.OFFSET_COMMIT: "group_offsets",
    ApiKey.OFFSET_FETCH: "group_offsets",
    ApiKey.FIND_COORDINATOR: "find_coordinator",
    ApiKey.JOIN_GROUP: "groups",
    ApiKey.HEARTBEAT: "groups",
    ApiKey.LEAVE_GROUP: "groups",
    ApiKey.SYNC_GROUP: "groups",
    ApiKey.DESCRIBE_GROUPS: "group_admin",
    ApiKey.LIST_GROUPS: "group_admin",
    ApiKey.SASL_HANDSHAKE: "sasl",
    ApiKey.API_VERSIONS: "api_versions",
    ApiKey.CREATE_TOPICS: "topics",
    ApiKey.DELETE_TOPICS: "topics",
    ApiKey.DELETE_RECORDS: "offsets",
    ApiKey.INIT_PRODUCER_ID: "transactions",
    ApiKey.OFFSET_FOR_LEADER_EPOCH: "offsets",
    ApiKey.ADD_PARTITIONS_TO_TXN: "transactions",
    ApiKey.ADD_OFFSETS_TO_TXN: "transactions",
    ApiKey.END_TXN: "transactions",
    ApiKey.TXN_OFFSET_COMMIT: "transactions",
    ApiKey.DESCRIBE_ACLS: "acls",
    ApiKey.CREATE_ACLS: "acls",
    ApiKey.DELETE_ACLS: "acls",
    ApiKey.DESCRIBE_CONFIGS: "configs",
    ApiKey.ALTER_CONFIGS: "configs",
    ApiKey.DESCRIBE_LOG_DIRS: "cluster",
    ApiKey.SASL_AUTHENTICATE: "sasl",
    ApiKey.CREATE_PARTITIONS: "topics",
    ApiKey.DELETE_GROUPS: "group_admin",
    ApiKey.ELECT_LEADERS: "cluster",
    ApiKey.INCREMENTAL_ALTER_CONFIGS: "configs",
    ApiKey.OFFSET_DELETE: "group_offsets",
    ApiKey.DESCRIBE_CLIENT_QUOTAS: "quotas",
    ApiKey.ALTER_CLIENT_QUOTAS: "quotas",
    ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS: "scram",
    ApiKey.ALTER_USER_SCRAM_CREDENTIALS: "scram",
    ApiKey.DESCRIBE_CLUSTER: "cluster",
    ApiKey.DESCRIBE_PRODUCERS: "transaction_admin",
    ApiKey.DESCRIBE_TRANSACTIONS: "transaction_admin",
    ApiKey.LIST_TRANSACTIONS: "transaction_admin",
    ApiKey.CONSUMER_GROUP_HEARTBEAT: "consumer_groups",
    ApiKey.CONSUMER_GROUP_DESCRIBE: "consumer_groups",
    ApiKey.LIST_CONFIG_RESOURCES: "configs",
    ApiKey.DESCRIBE_TOPIC_PARTITIONS: "metadata",
}

_requests: dict[ApiKey, type[Request]] = {}
_responses: dict[ApiKey, type[Response]] = {}


def request_class(key: ApiKey) -> type[Request]:
    """The declared request of an API."""
    declared = _requests.get(key)
    if declared is None:
        declared = _requests[key] = cast("type[Request]", _declared(key, "Request"))
    return declared


def response_class(key: ApiKey) -> type[Response]:
    """The declared response of an API."""
    declared = _responses.get(key)
    if declared is None:
        declared = _responses[key] = cast("type[Response]", _declared(key, "Response"))
    return declared


def _declared(key: ApiKey, direction: str) -> object:
    module = import_module(f"{__name__}.{FAMILIES[key]}")
    return cast("object", getattr(module, APIS[key].name + direction))
