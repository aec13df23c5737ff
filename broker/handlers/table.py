"""
The table of what is served: API → handler. The ApiVersions answer is made from it, so what is not here is not
advertised.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from broker.handlers.context import ApiHandler
from broker.wire.apis import APIS, ApiKey

_PLACES: Final = {
    ApiKey.PRODUCE: "produce:handle_produce",
    ApiKey.FETCH: "fetch:handle_fetch",
    ApiKey.LIST_OFFSETS: "offsets:handle_list_offsets",
    ApiKey.METADATA: "metadata:handle_metadata",
    ApiKey.OFFSET_COMMIT: "group_offsets:handle_offset_commit",
    ApiKey.OFFSET_FETCH: "group_offsets:handle_offset_fetch",
    ApiKey.FIND_COORDINATOR: "find_coordinator:handle_find_coordinator",
    ApiKey.JOIN_GROUP: "groups:handle_join_group",
    ApiKey.HEARTBEAT: "groups:handle_heartbeat",
    ApiKey.LEAVE_GROUP: "groups:handle_leave_group",
    ApiKey.SYNC_GROUP: "groups:handle_sync_group",
    ApiKey.DESCRIBE_GROUPS: "group_admin:handle_describe_groups",
    ApiKey.LIST_GROUPS: "group_admin:handle_list_groups",
    ApiKey.API_VERSIONS: "api_versions:handle_api_versions",
    ApiKey.CREATE_TOPICS: "topics:handle_create_topics",
    ApiKey.DELETE_TOPICS: "topics:handle_delete_topics",
    ApiKey.DELETE_RECORDS: "offsets:handle_delete_records",
    ApiKey.INIT_PRODUCER_ID: "transactions:handle_init_producer_id",
    ApiKey.OFFSET_FOR_LEADER_EPOCH: "offsets:handle_offset_for_leader_epoch",
    ApiKey.ADD_PARTITIONS_TO_TXN: "transactions:handle_add_partitions_to_txn",
    ApiKey.ADD_OFFSETS_TO_TXN: "transactions:handle_add_offsets_to_txn",
    ApiKey.END_TXN: "transactions:handle_end_txn",
    ApiKey.TXN_OFFSET_COMMIT: "transactions:handle_txn_offset_commit",
    ApiKey.DESCRIBE_ACLS: "acls:handle_describe_acls",
    ApiKey.CREATE_ACLS: "acls:handle_create_acls",
    ApiKey.DELETE_ACLS: "acls:handle_delete_acls",
    ApiKey.DESCRIBE_CONFIGS: "configs:handle_describe_configs",
    ApiKey.ALTER_CONFIGS: "configs:handle_alter_configs",
    ApiKey.DESCRIBE_LOG_DIRS: "cluster:handle_describe_log_dirs",
    ApiKey.CREATE_PARTITIONS: "topics:handle_create_partitions",
    ApiKey.DELETE_GROUPS: "group_admin:handle_delete_groups",
    ApiKey.ELECT_LEADERS: "cluster:handle_elect_leaders",
    ApiKey.INCREMENTAL_ALTER_CONFIGS: "configs:handle_incremental_alter_configs",
    ApiKey.OFFSET_DELETE: "group_offsets:handle_offset_delete",
    ApiKey.DESCRIBE_CLUSTER: "cluster:handle_describe_cluster",
    ApiKey.DESCRIBE_PRODUCERS: "transaction_admin:handle_describe_producers",
    ApiKey.DESCRIBE_TRANSACTIONS: "transaction_admin:handle_describe_transactions",
    ApiKey.LIST_TRANSACTIONS: "transaction_admin:handle_list_transactions",
    ApiKey.CONSUMER_GROUP_HEARTBEAT: "consumer_groups:handle_consumer_group_heartbeat",
    ApiKey.CONSUMER_GROUP_DESCRIBE: "consumer_groups:handle_consumer_group_describe",
    ApiKey.LIST_CONFIG_RESOURCES: "configs:handle_list_config_resources",
    ApiKey.DESCRIBE_TOPIC_PARTITIONS: "metadata:handle_describe_topic_partitions",
}
TABLE: Final[Mapping[ApiKey, ApiHandler]] = MappingProxyType(
    {key: ApiHandler(APIS[key], place) for key, place in _PLACES.items()}
)
