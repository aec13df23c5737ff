"""
Creating, deleting and widening topics.

CreateTopics (key 19)
    v2  validate_only and throttle time are there; lower versions are gone (KIP-896)
    v4  partitions and replication factor may be -1 for the broker's default (KIP-464)
    v5  flexible; the answer has partitions, replication factor and configuration (KIP-525)
    v6  the client may be told THROTTLING_QUOTA_EXCEEDED (KIP-599)
    v7  the answer has the topic id (KIP-516)
DeleteTopics (key 20)
    v1  throttle time
    v4  flexible
    v5  error messages; THROTTLING_QUOTA_EXCEEDED (KIP-599)
    v6  topics by name or by id, in another list (KIP-516)
CreatePartitions (key 37)
    v2  flexible
    v3  THROTTLING_QUOTA_EXCEEDED (KIP-599)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response, Struct
from broker.wire.primitives import NO_UUID


class CreatableReplicaAssignment(Struct):
    """In `CreateTopicsRequest.topics.assignments`."""

    partition_index: Annotated[int, "int32 0+"] = 0
    broker_ids: Annotated[Sequence[int], "[]int32 0+"] = ()


class CreatableTopicConfig(Struct):
    """In `CreateTopicsRequest.topics.configs`."""

    name: Annotated[str, "string 0+"] = ""
    value: Annotated[str | None, "string 0+ null 0+"] = ""


class CreatableTopic(Struct):
    """In `CreateTopicsRequest.topics`."""

    name: Annotated[str, "string 0+"] = ""
    num_partitions: Annotated[int, "int32 0+"] = 0
    replication_factor: Annotated[int, "int16 0+"] = 0
    assignments: Annotated[Sequence[CreatableReplicaAssignment], "[]struct 0+"] = ()
    configs: Annotated[Sequence[CreatableTopicConfig], "[]struct 0+"] = ()


class CreateTopicsRequest(Request, api=ApiKey.CREATE_TOPICS):
    """CreateTopics request (key 19), v2-7, flexible from v5."""

    topics: Annotated[Sequence[CreatableTopic], "[]struct 0+"] = ()
    timeout_ms: Annotated[int, "int32 0+"] = 60000
    validate_only: Annotated[bool, "bool 1+"] = False


class CreatableTopicConfigs(Struct):
    """In `CreateTopicsResponse.topics.configs`."""

    name: Annotated[str, "string 5+"] = ""
    value: Annotated[str | None, "string 5+ null 5+"] = ""
    read_only: Annotated[bool, "bool 5+"] = False
    config_source: Annotated[int, "int8 5+"] = -1
    is_sensitive: Annotated[bool, "bool 5+"] = False


class CreatableTopicResult(Struct):
    """In `CreateTopicsResponse.topics`."""

    name: Annotated[str, "string 0+"] = ""
    topic_id: Annotated[UUID, "uuid 7+"] = NO_UUID
    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 1+ null 0+"] = ""
    topic_config_error_code: Annotated[int, "int16 5+ tag 0"] = 0
    num_partitions: Annotated[int, "int32 5+"] = -1
    replication_factor: Annotated[int, "int16 5+"] = -1
    configs: Annotated[Sequence[CreatableTopicConfigs] | None, "[]struct 5+ null 5+"] = ()


class CreateTopicsResponse(Response, api=ApiKey.CREATE_TOPICS):
    """CreateTopics response (key 19), v2-7, flexible from v5."""

    throttle_time_ms: Annotated[int, "int32 2+"] = 0
    topics: Annotated[Sequence[CreatableTopicResult], "[]struct 0+"] = ()


class DeleteTopicState(Struct):
    """In `DeleteTopicsRequest.topics`."""

    name: Annotated[str | None, "string 6+ null 6+"] = None
    topic_id: Annotated[UUID, "uuid 6+"] = NO_UUID


class DeleteTopicsRequest(Request, api=ApiKey.DELETE_TOPICS):
    """DeleteTopics request (key 20), v1-6, flexible from v4."""

    topics: Annotated[Sequence[DeleteTopicState], "[]struct 6+"] = ()
    topic_names: Annotated[Sequence[str], "[]string 0-5"] = ()
    timeout_ms: Annotated[int, "int32 0+"] = 0


class DeletableTopicResult(Struct):
    """In `DeleteTopicsResponse.responses`."""

    name: Annotated[str | None, "string 0+ null 6+"] = ""
    topic_id: Annotated[UUID, "uuid 6+"] = NO_UUID
    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 5+ null 5+"] = None


class DeleteTopicsResponse(Response, api=ApiKey.DELETE_TOPICS):
    """DeleteTopics response (key 20), v1-6, flexible from v4."""

    throttle_time_ms: Annotated[int, "int32 1+"] = 0
    responses: Annotated[Sequence[DeletableTopicResult], "[]struct 0+"] = ()


class CreatePartitionsAssignment(Struct):
    """In `CreatePartitionsRequest.topics.assignments`."""

    broker_ids: Annotated[Sequence[int], "[]int32 0+"] = ()


class CreatePartitionsTopic(Struct):
    """In `CreatePartitionsRequest.topics`."""

    name: Annotated[str, "string 0+"] = ""
    count: Annotated[int, "int32 0+"] = 0
    assignments: Annotated[Sequence[CreatePartitionsAssignment] | None, "[]struct 0+ null 0+"] = ()


class CreatePartitionsRequest(Request, api=ApiKey.CREATE_PARTITIONS):
    """CreatePartitions request (key 37), v0-3, flexible from v2."""

    topics: Annotated[Sequence[CreatePartitionsTopic], "[]struct 0+"] = ()
    timeout_ms: Annotated[int, "int32 0+"] = 0
    validate_only: Annotated[bool, "bool 0+"] = False


class CreatePartitionsTopicResult(Struct):
    """In `CreatePartitionsResponse.results`."""

    name: Annotated[str, "string 0+"] = ""
    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = None


class CreatePartitionsResponse(Response, api=ApiKey.CREATE_PARTITIONS):
    """CreatePartitions response (key 37), v0-3, flexible from v2."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    results: Annotated[Sequence[CreatePartitionsTopicResult], "[]struct 0+"] = ()
