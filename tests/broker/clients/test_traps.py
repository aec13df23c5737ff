"""The four traps in which young brokers were caught, and what is advertised as against what is served."""

from uuid import UUID

from broker.errors import ErrorCode
from broker.handlers.table import TABLE
from broker.wire.apis import APIS, ApiKey
from broker.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from broker.wire.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from broker.wire.messages.groups import JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse
from broker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse
from broker.wire.messages.offsets import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from tests.servers.broker_process import BrokerProcess
from tests.servers.raw_client import RawClient

TELEMETRY = {71, 72}


def advertised(broker: BrokerProcess) -> dict[int, tuple[int, int]]:
    with RawClient(broker.host, broker.port) as client:
        request = ApiVersionsRequest(client_software_name="test", client_software_version="1")
        answer = client.ask(request, ApiVersionsResponse, 4)
    assert answer.error_code == ErrorCode.NONE
    return {row.api_key: (row.min_version, row.max_version) for row in answer.api_keys}


def test_produce_is_advertised_from_v0(broker: BrokerProcess) -> None:
    """Trap 1: librdkafka before 2.11.1 compresses nothing without it."""
    assert advertised(broker)[ApiKey.PRODUCE] == (0, 13)


def test_join_group_is_served_from_v0(broker: BrokerProcess, topic: str) -> None:
    """Trap 2: librdkafka's feature detection asks for it."""
    assert advertised(broker)[ApiKey.JOIN_GROUP][0] == 0
    with RawClient(broker.host, broker.port) as client:
        request = JoinGroupRequest(
            group_id=topic,
            session_timeout_ms=6000,
            protocol_type="consumer",
            protocols=[JoinGroupRequestProtocol(name="range", metadata=b"")],
        )
        answer = client.ask(request, JoinGroupResponse, 0)
    assert answer.error_code == ErrorCode.NONE
    assert answer.leader == answer.member_id


def test_offset_for_leader_epoch_is_served_from_v2(broker: BrokerProcess, topic: str) -> None:
    """Trap 3: the only version that librdkafka speaks."""
    assert advertised(broker)[ApiKey.OFFSET_FOR_LEADER_EPOCH] == (2, 4)
    with RawClient(broker.host, broker.port) as client:
        metadata = client.ask(MetadataRequest(topics=[MetadataRequestTopic(name=topic)]), MetadataResponse, 9)
        epoch = metadata.topics[0].partitions[0].leader_epoch
        asked = OffsetForLeaderPartition(partition=0, current_leader_epoch=epoch, leader_epoch=epoch)
        request = OffsetForLeaderEpochRequest(topics=[OffsetForLeaderTopic(topic=topic, partitions=[asked])])
        answer = client.ask(request, OffsetForLeaderEpochResponse, 2).topics[0].partitions[0]
    assert (answer.error_code, answer.leader_epoch, answer.end_offset) == (ErrorCode.NONE, epoch, 0)


def test_topics_have_ids_that_every_api_agrees_on(broker: BrokerProcess, topic: str) -> None:
    """Trap 4: Metadata 10, Fetch 13, Produce 13 and OffsetCommit 10 oblige real topic ids."""
    with RawClient(broker.host, broker.port) as client:
        metadata = client.ask(MetadataRequest(topics=[MetadataRequestTopic(name=topic)]), MetadataResponse, 13)
        topic_id = metadata.topics[0].topic_id
        assert topic_id != UUID(int=0)
        by_id = client.ask(
            MetadataRequest(topics=[MetadataRequestTopic(topic_id=topic_id, name=None)]), MetadataResponse, 13
        )
        assert by_id.topics[0].name == topic
        asked = FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1000)
        fetched = client.ask(
            FetchRequest(topics=[FetchTopic(topic_id=topic_id, partitions=[asked])]), FetchResponse, 18
        )
        assert fetched.responses[0].partitions[0].error_code == ErrorCode.NONE


def test_what_is_served_is_advertised_in_its_whole_range_and_nothing_else_is(broker: BrokerProcess) -> None:
    """Telemetry (71, 72) above all is left out: clients send it wherever it is named."""
    ranges = advertised(broker)
    assert set(ranges) == set(TABLE)
    assert not TELEMETRY & set(ranges)
    for key, (lowest, highest) in ranges.items():
        api = APIS[ApiKey(key)]
        assert (lowest, highest) == (0 if key == ApiKey.PRODUCE else api.lowest, api.highest)
