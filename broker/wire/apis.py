"""
The APIs that are declared, and the versions of each.

Ranges       Kafka 4.3.1's, both ends included; a version marked unstable there (InitProducerId v6) is left out
Traps        Produce is advertised from v0 though v3 is the lowest with a declaration: librdkafka before 2.11.1 looks
             for v0 before it turns compression on, and drops compression silently without it.
             JoinGroup keeps v0: librdkafka's feature detection asks for it. OffsetForLeaderEpoch keeps v2, the only one
             that librdkafka speaks. ApiVersions v4 is served, because kafka-python 3 sends it first.
Declared is  not served: what a broker serves is the table of its handlers, and `advertised()` makes the ranges of an
             ApiVersions answer from that.
Source       `common/message/*.json` in the kafka-clients 4.3.1 jar; tests/broker/wire/facts holds this table against it
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple

from broker.errors import UnknownApiKey, UnsupportedVersion


class ApiKey(IntEnum):
    """The key of an API (int16 in the request header)."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    DESCRIBE_GROUPS = 15
    LIST_GROUPS = 16
    SASL_HANDSHAKE = 17
    API_VERSIONS = 18
    CREATE_TOPICS = 19
    DELETE_TOPICS = 20
    DELETE_RECORDS = 21
    INIT_PRODUCER_ID = 22
    OFFSET_FOR_LEADER_EPOCH = 23
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28
    DESCRIBE_ACLS = 29
    CREATE_ACLS = 30
    DELETE_ACLS = 31
    DESCRIBE_CONFIGS = 32
    ALTER_CONFIGS = 33
    DESCRIBE_LOG_DIRS = 35
    SASL_AUTHENTICATE = 36
    CREATE_PARTITIONS = 37
    DELETE_GROUPS = 42
    ELECT_LEADERS = 43
    INCREMENTAL_ALTER_CONFIGS = 44
    OFFSET_DELETE = 47
    DESCRIBE_CLIENT_QUOTAS = 48
    ALTER_CLIENT_QUOTAS = 49
    DESCRIBE_USER_SCRAM_CREDENTIALS = 50
    ALTER_USER_SCRAM_CREDENTIALS = 51
    DESCRIBE_CLUSTER = 60
    DESCRIBE_PRODUCERS = 61
    DESCRIBE_TRANSACTIONS = 65
    LIST_TRANSACTIONS = 66
    CONSUMER_GROUP_HEARTBEAT = 68
    CONSUMER_GROUP_DESCRIBE = 69
    LIST_CONFIG_RESOURCES = 74
    DESCRIBE_TOPIC_PARTITIONS = 75


class Api(NamedTuple):
    """
    One API: its key, its name and its versions, *lowest* to *highest* both included.

    *flexible_from* is the first version with compact types and tagged fields, None without one;
    *advertised_from* is the lowest version that an ApiVersions answer names where that is not *lowest*.
    """

    key: ApiKey
    name: str
    lowest: int
    highest: int
    flexible_from: int | None
    advertised_from: int | None = None

    def is_flexible(self, version: int) -> bool:
        """Whether *version* has compact types and tagged fields."""
        return self.flexible_from is not None and version >= self.flexible_from

    def request_header_version(self, version: int) -> int:
        """1, or 2 for a flexible version. (0 was ControlledShutdown v0's alone.)"""
        return 2 if self.is_flexible(version) else 1

    def response_header_version(self, version: int) -> int:
        """0, or 1 for a flexible version. ApiVersions stays at 0: its client does not know yet what we speak."""
        return 1 if self.is_flexible(version) and self.key is not ApiKey.API_VERSIONS else 0

    def check(self, version: int) -> None:
        """Raises UnsupportedVersion for a version that is not declared."""
        if not self.lowest <= version <= self.highest:
            raise UnsupportedVersion(self.name, version, self.lowest, self.highest)


APIS: Mapping[ApiKey, Api] = MappingProxyType(
    {
        api.key: api
        for api in (
            Api(ApiKey.PRODUCE, "Produce", 3, 13, 9, advertised_from=0),
            Api(ApiKey.FETCH, "Fetch", 4, 18, 12),
            Api(ApiKey.LIST_OFFSETS, "ListOffsets", 1, 11, 6),
            Api(ApiKey.METADATA, "Metadata", 0, 13, 9),
            Api(ApiKey.OFFSET_COMMIT, "OffsetCommit", 2, 10, 8),
            Api(ApiKey.OFFSET_FETCH, "OffsetFetch", 1, 10, 6),
            Api(ApiKey.FIND_COORDINATOR, "FindCoordinator", 0, 6, 3),
            Api(ApiKey.JOIN_GROUP, "JoinGroup", 0, 9, 6),
            Api(ApiKey.HEARTBEAT, "Heartbeat", 0, 4, 4),
            Api(ApiKey.LEAVE_GROUP, "LeaveGroup", 0, 5, 4),
            Api(ApiKey.SYNC_GROUP, "SyncGroup", 0, 5, 4),
            Api(ApiKey.DESCRIBE_GROUPS, "DescribeGroups", 0, 6, 5),
            Api(ApiKey.LIST_GROUPS, "ListGroups", 0, 5, 3),
            Api(ApiKey.SASL_HANDSHAKE, "SaslHandshake", 0, 1, None),
            Api(ApiKey.API_VERSIONS, "ApiVersions", 0, 4, 3),
            Api(ApiKey.CREATE_TOPICS, "CreateTopics", 2, 7, 5),
            Api(ApiKey.DELETE_TOPICS, "DeleteTopics", 1, 6, 4),
            Api(ApiKey.DELETE_RECORDS, "DeleteRecords", 0, 2, 2),
            Api(ApiKey.INIT_PRODUCER_ID, "InitProducerId", 0, 5, 2),
            Api(ApiKey.OFFSET_FOR_LEADER_EPOCH, "OffsetForLeaderEpoch", 2, 4, 4),
            Api(ApiKey.ADD_PARTITIONS_TO_TXN, "AddPartitionsToTxn", 0, 5, 3),
            Api(ApiKey.ADD_OFFSETS_TO_TXN, "AddOffsetsToTxn", 0, 4, 3),
            Api(ApiKey.END_TXN, "EndTxn", 0, 5, 3),
            Api(ApiKey.TXN_OFFSET_COMMIT, "TxnOffsetCommit", 0, 5, 3),
            Api(ApiKey.DESCRIBE_ACLS, "DescribeAcls", 1, 3, 2),
            Api(ApiKey.CREATE_ACLS, "CreateAcls", 1, 3, 2),
            Api(ApiKey.DELETE_ACLS, "DeleteAcls", 1, 3, 2),
            Api(ApiKey.DESCRIBE_CONFIGS, "DescribeConfigs", 1, 4, 4),
            Api(ApiKey.ALTER_CONFIGS, "AlterConfigs", 0, 2, 2),
            Api(ApiKey.DESCRIBE_LOG_DIRS, "DescribeLogDirs", 1, 5, 2),
            Api(ApiKey.SASL_AUTHENTICATE, "SaslAuthenticate", 0, 2, 2),
            Api(ApiKey.CREATE_PARTITIONS, "CreatePartitions", 0, 3, 2),
            Api(ApiKey.DELETE_GROUPS, "DeleteGroups", 0, 2, 2),
            Api(ApiKey.ELECT_LEADERS, "ElectLeaders", 0, 2, 2),
            Api(ApiKey.INCREMENTAL_ALTER_CONFIGS, "IncrementalAlterConfigs", 0, 1, 1),
            Api(ApiKey.OFFSET_DELETE, "OffsetDelete", 0, 0, None),
            Api(ApiKey.DESCRIBE_CLIENT_QUOTAS, "DescribeClientQuotas", 0, 1, 1),
            Api(ApiKey.ALTER_CLIENT_QUOTAS, "AlterClientQuotas", 0, 1, 1),
            Api(ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS, "DescribeUserScramCredentials", 0, 0, 0),
            Api(ApiKey.ALTER_USER_SCRAM_CREDENTIALS, "AlterUserScramCredentials", 0, 0, 0),
            Api(ApiKey.DESCRIBE_CLUSTER, "DescribeCluster", 0, 2, 0),
            Api(ApiKey.DESCRIBE_PRODUCERS, "DescribeProducers", 0, 0, 0),
            Api(ApiKey.DESCRIBE_TRANSACTIONS, "DescribeTransactions", 0, 0, 0),
            Api(ApiKey.LIST_TRANSACTIONS, "ListTransactions", 0, 2, 0),
            Api(ApiKey.CONSUMER_GROUP_HEARTBEAT, "ConsumerGroupHeartbeat", 0, 1, 0),
            Api(ApiKey.CONSUMER_GROUP_DESCRIBE, "ConsumerGroupDescribe", 0, 1, 0),
            Api(ApiKey.LIST_CONFIG_RESOURCES, "ListConfigResources", 0, 1, 0),
            Api(ApiKey.DESCRIBE_TOPIC_PARTITIONS, "DescribeTopicPartitions", 0, 0, 0),
        )
    }
)


_BY_NUMBER: dict[int, Api] = {int(key): api for key, api in APIS.items()}


class AdvertisedRange(NamedTuple):
    """One row of an ApiVersions answer."""

    api_key: ApiKey
    min_version: int
    max_version: int


def api_of(key: int) -> Api:
    """The API of a key as it came from the wire; raises UnknownApiKey."""
    api = _BY_NUMBER.get(key)
    if api is None:
        raise UnknownApiKey(key)
    return api


def advertised(served: Iterable[ApiKey]) -> Iterator[AdvertisedRange]:
    """The rows of an ApiVersions answer for the APIs that are served, by key."""
    for key in sorted(served):
        api = APIS[key]
        lowest = api.lowest if api.advertised_from is None else api.advertised_from
        yield AdvertisedRange(key, lowest, api.highest)
