"""
The table of what is served: API → handler. The ApiVersions answer is made from it, so what is not here is not
advertised.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar, cast

from broker.errors import ErrorCode
from broker.handlers import api_versions
from broker.handlers.cluster import handle_describe_cluster, handle_describe_log_dirs, handle_elect_leaders
from broker.handlers.configs import (
    handle_alter_configs,
    handle_describe_configs,
    handle_incremental_alter_configs,
    handle_list_config_resources,
)
from broker.handlers.consumer_groups import handle_consumer_group_describe, handle_consumer_group_heartbeat
from broker.handlers.context import Answer, ApiHandler, RequestContext
from broker.handlers.fetch import handle_fetch
from broker.handlers.find_coordinator import handle_find_coordinator
from broker.handlers.group_admin import handle_delete_groups, handle_describe_groups, handle_list_groups
from broker.handlers.group_offsets import handle_offset_commit, handle_offset_delete, handle_offset_fetch
from broker.handlers.groups import handle_heartbeat, handle_join_group, handle_leave_group, handle_sync_group
from broker.handlers.metadata import handle_describe_topic_partitions, handle_metadata
from broker.handlers.offsets import handle_delete_records, handle_list_offsets, handle_offset_for_leader_epoch
from broker.handlers.produce import handle_produce
from broker.handlers.topics import handle_create_partitions, handle_create_topics, handle_delete_topics
from broker.handlers.transaction_admin import (
    handle_describe_producers,
    handle_describe_transactions,
    handle_list_transactions,
)
from broker.handlers.transactions import (
    handle_add_offsets_to_txn,
    handle_add_partitions_to_txn,
    handle_end_txn,
    handle_init_producer_id,
    handle_txn_offset_commit,
)
from broker.wire.apis import APIS, ApiKey
from broker.wire.declaration import Request
from broker.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse

R = TypeVar("R", bound=Request)


def _row(key: ApiKey, handle: Callable[[RequestContext, R], Answer]) -> ApiHandler:
    # The dispatcher decodes each request to the class that belongs to its key, so the handler gets what it declares.
    return ApiHandler(APIS[key], cast("Callable[[RequestContext, Request], Answer]", handle))


def _handle_api_versions(context: RequestContext, request: ApiVersionsRequest) -> ApiVersionsResponse:
    return api_versions.answer_for(TABLE, context.version, api_versions.check_client(context, request))


def unsupported_api_versions() -> ApiVersionsResponse:
    """The answer to an ApiVersions request of an unknown version, to be sent as v0."""
    return api_versions.answer_for(TABLE, 0, ErrorCode.UNSUPPORTED_VERSION)


TABLE: Mapping[ApiKey, ApiHandler] = MappingProxyType(
    {
        row.key: row
        for row in (
            _row(ApiKey.PRODUCE, handle_produce),
            _row(ApiKey.FETCH, handle_fetch),
            _row(ApiKey.LIST_OFFSETS, handle_list_offsets),
            _row(ApiKey.METADATA, handle_metadata),
            _row(ApiKey.OFFSET_COMMIT, handle_offset_commit),
            _row(ApiKey.OFFSET_FETCH, handle_offset_fetch),
            _row(ApiKey.FIND_COORDINATOR, handle_find_coordinator),
            _row(ApiKey.JOIN_GROUP, handle_join_group),
            _row(ApiKey.HEARTBEAT, handle_heartbeat),
            _row(ApiKey.LEAVE_GROUP, handle_leave_group),
            _row(ApiKey.SYNC_GROUP, handle_sync_group),
            _row(ApiKey.DESCRIBE_GROUPS, handle_describe_groups),
            _row(ApiKey.LIST_GROUPS, handle_list_groups),
            _row(ApiKey.API_VERSIONS, _handle_api_versions),
            _row(ApiKey.CREATE_TOPICS, handle_create_topics),
            _row(ApiKey.DELETE_TOPICS, handle_delete_topics),
            _row(ApiKey.DELETE_RECORDS, handle_delete_records),
            _row(ApiKey.INIT_PRODUCER_ID, handle_init_producer_id),
            _row(ApiKey.OFFSET_FOR_LEADER_EPOCH, handle_offset_for_leader_epoch),
            _row(ApiKey.ADD_PARTITIONS_TO_TXN, handle_add_partitions_to_txn),
            _row(ApiKey.ADD_OFFSETS_TO_TXN, handle_add_offsets_to_txn),
            _row(ApiKey.END_TXN, handle_end_txn),
            _row(ApiKey.TXN_OFFSET_COMMIT, handle_txn_offset_commit),
            _row(ApiKey.DESCRIBE_CONFIGS, handle_describe_configs),
            _row(ApiKey.ALTER_CONFIGS, handle_alter_configs),
            _row(ApiKey.DESCRIBE_LOG_DIRS, handle_describe_log_dirs),
            _row(ApiKey.CREATE_PARTITIONS, handle_create_partitions),
            _row(ApiKey.DELETE_GROUPS, handle_delete_groups),
            _row(ApiKey.ELECT_LEADERS, handle_elect_leaders),
            _row(ApiKey.INCREMENTAL_ALTER_CONFIGS, handle_incremental_alter_configs),
            _row(ApiKey.OFFSET_DELETE, handle_offset_delete),
            _row(ApiKey.DESCRIBE_CLUSTER, handle_describe_cluster),
            _row(ApiKey.DESCRIBE_PRODUCERS, handle_describe_producers),
            _row(ApiKey.DESCRIBE_TRANSACTIONS, handle_describe_transactions),
            _row(ApiKey.LIST_TRANSACTIONS, handle_list_transactions),
            _row(ApiKey.CONSUMER_GROUP_HEARTBEAT, handle_consumer_group_heartbeat),
            _row(ApiKey.CONSUMER_GROUP_DESCRIBE, handle_consumer_group_describe),
            _row(ApiKey.LIST_CONFIG_RESOURCES, handle_list_config_resources),
            _row(ApiKey.DESCRIBE_TOPIC_PARTITIONS, handle_describe_topic_partitions),
        )
    }
)
