"""Every limit, run into by a client: its error code, one line in the log, and a neighbour that goes on."""

import ast
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.config import BROKER_KEYS
from broker.errors import ErrorCode
from broker.limits import QUIET_S, LimitLog
from broker.wire.messages.consumer_groups import ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse
from broker.wire.messages.fetch import FetchResponse
from broker.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from broker.wire.messages.groups import JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse
from broker.wire.messages.metadata import MetadataRequest, MetadataResponse
from broker.wire.messages.topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from broker.wire.messages.transactions import InitProducerIdRequest, InitProducerIdResponse
from tests.broker.server.test_connections import create, fetch_request, produce
from tests.servers.broker_process import BrokerProcess, running_broker
from tests.servers.raw_client import RawClient

LIMITS = {
    "max.topics": 3,
    "max.partitions": 8,
    "topic.config.max.bytes": 40,
    "max.parked.fetches": 1,
    "group.max.count": 3,
    "group.max.size": 1,
    "group.consumer.max.size": 1,
    "group.name.max.bytes": 40,
    "group.member.metadata.max.bytes": 100,
    "offset.metadata.max.bytes": 10,
    "transactional.id.max.count": 1,
    "transactional.id.max.bytes": 10,
}
TESTS = Path(__file__).parents[1]
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "limits.md"
_ROW = re.compile(r"^\| [^|]+ \| (?:`([a-z.]+)`|\u2013) \| `?(\d+)`? \| [^|]+ \| `([^`]+)` \|$", re.MULTILINE)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[BrokerProcess]:
    """A broker whose every limit is near."""
    settings = [argument for key, limit in LIMITS.items() for argument in ("--set", f"{key}={limit}")]
    with running_broker(tmp_path / "data", *settings) as broker:
        yield broker


@pytest.fixture
def client(small: BrokerProcess) -> Iterator[RawClient]:
    """Behind each test a neighbour, who was there all the time, is still served."""
    with RawClient(small.host, small.port) as neighbour, RawClient(small.host, small.port) as client:
        neighbour.ask(MetadataRequest(topics=[]), MetadataResponse, 12)
        yield client
        neighbour.ask(MetadataRequest(topics=[]), MetadataResponse, 12)


def told(broker: BrokerProcess, key: str) -> int:
    """How many lines of the log name the limit."""
    return broker.log.count(f"limit reached key={key} limit={LIMITS[key]} refused=")


def creation(client: RawClient, name: str, partitions: int = 1, **configs: str) -> tuple[ErrorCode, str]:
    entries = [CreatableTopicConfig(name=key.replace("_", "."), value=value) for key, value in configs.items()]
    topic = CreatableTopic(name=name, num_partitions=partitions, replication_factor=1, configs=entries)
    answer = client.ask(CreateTopicsRequest(topics=[topic]), CreateTopicsResponse, 7).topics[0]
    return ErrorCode(answer.error_code), answer.error_message or ""


def join(client: RawClient, group: str, *, name: str = "", metadata: bytes = b"") -> ErrorCode:
    request = JoinGroupRequest(
        group_id=group,
        session_timeout_ms=10_000,
        rebalance_timeout_ms=10_000,
        group_instance_id=name or None,
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol(name="range", metadata=metadata)],
    )
    return ErrorCode(client.ask(request, JoinGroupResponse, 7).error_code)


def beat(client: RawClient, group: str, member: str, *topics: str) -> tuple[ErrorCode, str]:
    request = ConsumerGroupHeartbeatRequest(
        group_id=group,
        member_id=member,
        rebalance_timeout_ms=10_000,
        subscribed_topic_names=topics,
        topic_partitions=(),
    )
    answer = client.ask(request, ConsumerGroupHeartbeatResponse, 1)
    return ErrorCode(answer.error_code), answer.error_message or ""


def commit(client: RawClient, group: str, text: str = "") -> ErrorCode:
    partition = OffsetCommitRequestPartition(partition_index=0, committed_offset=1, committed_metadata=text)
    request = OffsetCommitRequest(group_id=group, topics=[OffsetCommitRequestTopic(name="t", partitions=[partition])])
    return ErrorCode(client.ask(request, OffsetCommitResponse, 8).topics[0].partitions[0].error_code)


def initialise(client: RawClient, transactional_id: str) -> ErrorCode:
    request = InitProducerIdRequest(transactional_id=transactional_id, transaction_timeout_ms=1_000)
    return ErrorCode(client.ask(request, InitProducerIdResponse, 4).error_code)


def test_a_topic_too_many_is_refused(small: BrokerProcess, client: RawClient) -> None:
    """Those that are there go on, and groups get their internal topic all the same."""
    assert [creation(client, f"t{number}")[0] for number in range(3)] == [ErrorCode.NONE] * 3
    code, words = creation(client, "t3")
    assert code is ErrorCode.POLICY_VIOLATION
    assert "max.topics=3" in words
    produce(client, "t0", b"value")
    assert join(client, "g") is not ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert initialise(client, "first") is ErrorCode.NONE
    assert told(small, "max.topics") == 1


def test_partitions_too_many_are_refused(small: BrokerProcess, client: RawClient) -> None:
    """Over all topics; what fits is made."""
    assert creation(client, "t", 5)[0] is ErrorCode.NONE
    code, words = creation(client, "u", 4)
    assert code is ErrorCode.POLICY_VIOLATION
    assert "max.partitions=8" in words
    assert creation(client, "u", 3)[0] is ErrorCode.NONE
    assert told(small, "max.partitions") == 1


def test_settings_of_a_topic_that_are_too_long_are_refused(small: BrokerProcess, client: RawClient) -> None:
    """Names and texts together."""
    code, words = creation(client, "t", 1, retention_ms="1" * 10, segment_ms="2" * 10)
    assert code is ErrorCode.INVALID_CONFIG
    assert "topic.config.max.bytes=40" in words
    assert creation(client, "t", 1, retention_ms="1000")[0] is ErrorCode.NONE
    assert told(small, "topic.config.max.bytes") == 1


def test_a_fetch_above_the_limit_is_answered_at_once_and_told_to_wait(small: BrokerProcess, client: RawClient) -> None:
    """The one that waits is woken as ever."""
    create(client, "t")
    with RawClient(small.host, small.port) as waiting:
        waiting.send(fetch_request("t", 0, max_wait_ms=30_000), 12)
        time.sleep(0.2)
        began = time.monotonic()
        refused = client.ask(fetch_request("t", 0, max_wait_ms=30_000), FetchResponse, 12)
        assert time.monotonic() - began < 15
        assert refused.throttle_time_ms == 1_000
        assert refused.error_code == refused.responses[0].partitions[0].error_code == ErrorCode.NONE
        produce(client, "t", b"value")
        _, answer = waiting.receive(FetchResponse, 12)
        assert answer.throttle_time_ms == 0
        assert b"value" in bytes(memoryview(answer.responses[0].partitions[0].records or b""))  # type: ignore[arg-type]  # bytes here
    assert told(small, "max.parked.fetches") == 1


def test_a_group_too_many_is_refused(small: BrokerProcess, client: RawClient) -> None:
    """By a join of either protocol and by a commit; the groups that are there go on."""
    create(client, "t")
    assert [commit(client, f"g{number}") for number in range(3)] == [ErrorCode.NONE] * 3
    assert commit(client, "h") is ErrorCode.POLICY_VIOLATION
    assert join(client, "h") is ErrorCode.POLICY_VIOLATION
    code, words = beat(client, "h", "m", "t")
    assert code is ErrorCode.POLICY_VIOLATION
    assert "group.max.count" in words
    assert commit(client, "g0") is ErrorCode.NONE
    assert told(small, "group.max.count") == 1


def test_a_member_too_many_is_refused_in_both_protocols(small: BrokerProcess, client: RawClient) -> None:
    """The one that is in stays in."""
    create(client, "t")
    assert join(client, "classic", name="first") is ErrorCode.NONE
    assert join(client, "classic", name="second") is ErrorCode.GROUP_MAX_SIZE_REACHED
    assert beat(client, "next", "first", "t")[0] is ErrorCode.NONE
    assert beat(client, "next", "second", "t")[0] is ErrorCode.GROUP_MAX_SIZE_REACHED
    assert told(small, "group.max.size") == told(small, "group.consumer.max.size") == 1


def test_names_that_are_too_long_are_refused(small: BrokerProcess, client: RawClient) -> None:
    """Bytes count, not characters; the log has the beginning of the name."""
    create(client, "t")
    assert join(client, "ä" * 21) is ErrorCode.INVALID_GROUP_ID
    assert join(client, "g", name="n" * 41) is ErrorCode.INVALID_REQUEST
    assert commit(client, "g" * 41) is ErrorCode.INVALID_GROUP_ID
    code, words = beat(client, "g", "m" * 30_000, "t")
    assert code is ErrorCode.INVALID_REQUEST
    assert "group.name.max.bytes" in words
    assert join(client, "ä" * 20, name="n" * 40) is ErrorCode.NONE
    assert told(small, "group.name.max.bytes") == 1
    assert max(map(len, small.log.splitlines())) < 1_000


def test_what_a_member_says_of_itself_is_bounded_in_both_protocols(small: BrokerProcess, client: RawClient) -> None:
    """The metadata of a classic member, the subscription of the others."""
    assert join(client, "g", name="m", metadata=b"x" * 96) is ErrorCode.INVALID_REQUEST
    code, words = beat(client, "h", "m", "t" * 60, "u" * 60)
    assert code is ErrorCode.INVALID_REQUEST
    assert "group.member.metadata.max.bytes" in words
    assert join(client, "g", name="m", metadata=b"x" * 95) is ErrorCode.NONE
    assert told(small, "group.member.metadata.max.bytes") == 1


def test_the_text_beside_an_offset_is_bounded(client: RawClient) -> None:
    """Only the offset that brings it is refused."""
    create(client, "t")
    assert commit(client, "g", "x" * 11) is ErrorCode.OFFSET_METADATA_TOO_LARGE
    assert commit(client, "g", "x" * 10) is ErrorCode.NONE


def test_transactional_ids_are_bounded_in_number_and_length(small: BrokerProcess, client: RawClient) -> None:
    """An id that is known may come again."""
    assert initialise(client, "x" * 11) is ErrorCode.INVALID_REQUEST
    assert initialise(client, "first") is ErrorCode.NONE
    assert initialise(client, "second") is ErrorCode.POLICY_VIOLATION
    assert initialise(client, "first") is ErrorCode.NONE
    assert told(small, "transactional.id.max.bytes") == told(small, "transactional.id.max.count") == 1


def test_a_connection_with_too_many_open_requests_is_not_read_until_half_are_answered(tmp_path: Path) -> None:
    """What came too early is answered later, in order, and nothing is lost."""
    with (
        running_broker(tmp_path / "data", "--set", "max.in.flight.requests.per.connection=4") as broker,
        RawClient(broker.host, broker.port) as client,
        RawClient(broker.host, broker.port) as other,
    ):
        create(other, "t")
        waiting = [client.send(fetch_request("t", 0, max_wait_ms=300), 12) for _ in range(4)]
        # Were it read, its topic would be there at once.
        late = client.send(
            CreateTopicsRequest(topics=[CreatableTopic(name="late", num_partitions=1, replication_factor=1)]), 7
        )
        time.sleep(0.1)
        names = {topic.name for topic in other.ask(MetadataRequest(topics=None), MetadataResponse, 12).topics}
        assert names == {"t"}
        assert [client.receive(FetchResponse, 12)[0] for _ in waiting] == waiting
        assert client.receive(CreateTopicsResponse, 7)[0] == late


def test_a_connection_that_takes_no_answers_is_not_read(tmp_path: Path) -> None:
    """It may ask for a gigabyte: what it has not taken stays below its limit and one answer, and it gets all of it."""
    count = 60
    with (
        running_broker(tmp_path / "data", "--set", "connection.unsent.max.bytes=2000000") as broker,
        RawClient(broker.host, broker.port, receive_buffer=4096) as slow,
        RawClient(broker.host, broker.port) as other,
    ):
        create(other, "t")
        produce(other, "t", b"x" * 900_000)
        for _ in range(count):
            slow.send(fetch_request("t", 0), 12)
        slow.send(CreateTopicsRequest(topics=[CreatableTopic(name="late", num_partitions=1, replication_factor=1)]), 7)
        time.sleep(0.3)
        names = {topic.name for topic in other.ask(MetadataRequest(topics=None), MetadataResponse, 12).topics}
        assert names == {"t"}
        assert all(len(slow.receive_frame()) > 900_000 for _ in range(count))
        assert slow.receive(CreateTopicsResponse, 7)[1].topics[0].name == "late"


def test_a_limit_is_told_once_and_then_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """A client that tries a thousand times a second writes six lines a minute."""
    log = LimitLog()
    for tenth in range(1_000):
        log.reached("a", 5, "x", 100 + tenth / 100)
    log.reached("b", 6, "y", 100)
    log.reached("a", 5, "x", 100 + QUIET_S)
    assert [record.getMessage() for record in caplog.records] == [
        "limit reached key=a limit=5 refused='x' unsaid=0",
        "limit reached key=b limit=6 refused='y' unsaid=0",
        "limit reached key=a limit=5 refused='x' unsaid=999",
    ]


def test_the_page_has_every_limit_with_its_default_and_its_test() -> None:
    """docs/reference/limits.md: keys, defaults and tests are those of the code."""
    rows = _ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert len(rows) == PAGE.read_text(encoding="utf-8").count("\n| ") - 1
    for key, default, test in rows:
        if key:
            assert str(BROKER_KEYS[key].default) == default, key
        path, _, name = test.partition("::")
        names = {
            node.name for node in ast.walk(ast.parse((TESTS / path).read_text())) if isinstance(node, ast.FunctionDef)
        }
        assert name in names or not name, test
    assert LIMITS.keys() <= {key for key, _, _ in rows}
