"""CreateTopics, DeleteTopics, CreatePartitions, Metadata."""

import pytest

from broker.errors import ErrorCode
from broker.identifiers import NO_TOPIC_ID
from broker.wire.messages.metadata import (
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsRequestCursor,
    DescribeTopicPartitionsResponse,
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
)
from broker.wire.messages.topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreatableTopicResult,
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)
from tests.broker.handlers.conftest import InProcessBroker


def create(broker: InProcessBroker, *topics: CreatableTopic, validate_only: bool = False) -> list[CreatableTopicResult]:
    request = CreateTopicsRequest(topics=topics, validate_only=validate_only)
    return list(broker.call(request, CreateTopicsResponse).topics)


def wanted(name: str, partitions: int = 1, replication: int = 1, **fields: object) -> CreatableTopic:
    topic = CreatableTopic(name=name, num_partitions=partitions, replication_factor=replication)
    for field, value in fields.items():
        setattr(topic, field, value)
    return topic


def assignments(*brokers: int) -> list[CreatableReplicaAssignment]:
    return [CreatableReplicaAssignment(partition_index=index, broker_ids=[node]) for index, node in enumerate(brokers)]


def test_a_topic_is_created_and_answered_with_what_it_has(in_process: InProcessBroker) -> None:
    """Its id, partitions, and all settings, the defaults too."""
    configs = [CreatableTopicConfig(name="retention.ms", value="-1")]
    (answer,) = create(in_process, wanted("t", 3, -1, configs=configs))
    topic = in_process.state.catalog.find("t")
    assert topic is not None
    assert (answer.error_code, answer.topic_id, answer.num_partitions) == (ErrorCode.NONE, topic.id, 3)
    settings = {entry.name: entry.value for entry in answer.configs or ()}
    assert settings["retention.ms"] == "-1"
    assert settings["cleanup.policy"] == "delete"


def test_validate_only_creates_nothing(in_process: InProcessBroker) -> None:
    """It answers as the real thing would, without an id."""
    (answer,) = create(in_process, wanted("t"), validate_only=True)
    assert (answer.error_code, answer.topic_id) == (ErrorCode.NONE, NO_TOPIC_ID)
    assert in_process.state.catalog.find("t") is None


REFUSALS: dict[str, tuple[CreatableTopic, ErrorCode]] = {
    "two replicas": (wanted("t", 1, 2), ErrorCode.INVALID_REPLICATION_FACTOR),
    "no replicas": (wanted("t", 1, 0), ErrorCode.INVALID_REPLICATION_FACTOR),
    "no partitions": (wanted("t", 0), ErrorCode.INVALID_PARTITIONS),
    "bad name": (wanted("a b"), ErrorCode.INVALID_TOPIC_EXCEPTION),
    "null setting": (
        wanted("t", configs=[CreatableTopicConfig(name="retention.ms", value=None)]),
        ErrorCode.INVALID_CONFIG,
    ),
    "unknown setting": (wanted("t", configs=[CreatableTopicConfig(name="x", value="1")]), ErrorCode.INVALID_CONFIG),
    "both ways": (wanted("t", 1, -1, assignments=assignments(1)), ErrorCode.INVALID_REQUEST),
    "another broker": (wanted("t", -1, -1, assignments=assignments(1, 2)), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
    "a gap": (
        wanted("t", -1, -1, assignments=[CreatableReplicaAssignment(partition_index=1, broker_ids=[1])]),
        ErrorCode.INVALID_REPLICA_ASSIGNMENT,
    ),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_topic_that_cannot_be_is_refused_and_its_neighbour_created(in_process: InProcessBroker, kind: str) -> None:
    """With the code that fits, and words."""
    topic, code = REFUSALS[kind]
    answers = {answer.name: answer for answer in create(in_process, topic, wanted("neighbour"))}
    assert answers[topic.name].error_code == code
    assert answers[topic.name].error_message
    assert answers["neighbour"].error_code == ErrorCode.NONE


def test_a_name_that_comes_twice_is_refused(in_process: InProcessBroker) -> None:
    """Nobody could say which of the two was meant."""
    (answer,) = create(in_process, wanted("t", 1), wanted("t", 2))
    assert answer.error_code == ErrorCode.INVALID_REQUEST


def test_assignments_to_this_broker_count_the_partitions(in_process: InProcessBroker) -> None:
    """As many as there are assignments."""
    (answer,) = create(in_process, wanted("t", -1, -1, assignments=assignments(1, 1, 1)))
    assert (answer.error_code, answer.num_partitions) == (ErrorCode.NONE, 3)


def delete(broker: InProcessBroker, *topics: DeleteTopicState) -> list[int]:
    answer = broker.call(DeleteTopicsRequest(topics=topics), DeleteTopicsResponse, 6)
    return [result.error_code for result in answer.responses]


def test_topics_are_deleted_by_name_and_by_id(in_process: InProcessBroker) -> None:
    """Their files go with them."""
    create(in_process, wanted("a"), wanted("b"))
    by_id = in_process.state.catalog.find("b")
    assert by_id is not None
    assert delete(in_process, DeleteTopicState(name="a"), DeleteTopicState(topic_id=by_id.id)) == [0, 0]
    assert not list(in_process.state.catalog)
    assert not list(in_process.state.data_dir.glob("*-0*"))
    assert delete(in_process, DeleteTopicState(name="a"), DeleteTopicState(topic_id=by_id.id)) == [
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.UNKNOWN_TOPIC_ID,
    ]
    assert delete(in_process, DeleteTopicState(name="a", topic_id=by_id.id)) == [ErrorCode.INVALID_REQUEST]


def widen(broker: InProcessBroker, count: int, assigned: list[int] | None = None) -> int:
    each = None if assigned is None else [CreatePartitionsAssignment(broker_ids=[node]) for node in assigned]
    request = CreatePartitionsRequest(topics=[CreatePartitionsTopic(name="t", count=count, assignments=each)])
    return broker.call(request, CreatePartitionsResponse).results[0].error_code


def test_a_topic_is_widened_and_never_narrowed(in_process: InProcessBroker) -> None:
    """The new partitions are there at once."""
    assert widen(in_process, 2) == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    create(in_process, wanted("t", 2))
    assert widen(in_process, 2) == ErrorCode.INVALID_PARTITIONS
    assert widen(in_process, 4, [1]) == ErrorCode.INVALID_REPLICA_ASSIGNMENT
    assert widen(in_process, 4, [1, 1]) == ErrorCode.NONE
    topic = in_process.state.catalog.find("t")
    assert topic is not None
    assert len(topic.partitions) == 4


def ask_metadata(
    broker: InProcessBroker, topics: list[MetadataRequestTopic] | None, version: int = 13, *, create: bool = True
) -> MetadataResponse:
    return broker.call(MetadataRequest(topics=topics, allow_auto_topic_creation=create), MetadataResponse, version)


def test_metadata_creates_a_topic_that_is_asked_for(in_process: InProcessBroker) -> None:
    """It is in the same answer, with its leader; not when the client or the broker says no."""
    asked = [MetadataRequestTopic(name="t")]
    refused = ask_metadata(in_process, asked, create=False)
    assert refused.topics[0].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    created = ask_metadata(in_process, asked).topics[0]
    assert (created.error_code, len(created.partitions), created.partitions[0].leader_id) == (ErrorCode.NONE, 1, 1)
    bad = ask_metadata(in_process, [MetadataRequestTopic(name="a b")]).topics[0]
    assert bad.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION


def test_metadata_of_all_topics_and_of_none(in_process: InProcessBroker) -> None:
    """Null is all from v1 on, in v0 the empty list is; an empty list is none."""
    create(in_process, wanted("a"), wanted("b"))
    assert len(ask_metadata(in_process, None).topics) == 2
    assert len(ask_metadata(in_process, [], version=0).topics) == 2
    assert len(ask_metadata(in_process, []).topics) == 0


def test_topic_partitions_are_described_in_pages(in_process: InProcessBroker) -> None:
    """The cursor goes on where the page ended."""
    create(in_process, wanted("a", 3), wanted("b", 2))
    seen: list[tuple[str | None, int]] = []
    cursor: DescribeTopicPartitionsRequestCursor | None = None
    while True:
        request = DescribeTopicPartitionsRequest(response_partition_limit=2, cursor=cursor)
        answer = in_process.call(request, DescribeTopicPartitionsResponse)
        seen += [(topic.name, partition.partition_index) for topic in answer.topics for partition in topic.partitions]
        if answer.next_cursor is None:
            break
        cursor = DescribeTopicPartitionsRequestCursor(
            topic_name=answer.next_cursor.topic_name, partition_index=answer.next_cursor.partition_index
        )
    assert seen == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]


def test_a_topic_named_twice_in_one_deletion_stays(in_process: InProcessBroker) -> None:
    """One answer, INVALID_REQUEST, and nothing is deleted."""
    create(in_process, wanted("t"))
    request = DeleteTopicsRequest(topics=[DeleteTopicState(name="t"), DeleteTopicState(name="t")])
    (answer,) = in_process.call(request, DeleteTopicsResponse).responses
    assert answer.error_code == ErrorCode.INVALID_REQUEST
    assert in_process.state.catalog.find("t") is not None


def test_a_name_that_no_topic_can_have_is_said_to_be_wrong(in_process: InProcessBroker) -> None:
    """Metadata answers INVALID_TOPIC_EXCEPTION, whether it may create topics or not."""
    for may_create in (False, True):
        request = MetadataRequest(topics=[MetadataRequestTopic(name="bad name!")], allow_auto_topic_creation=may_create)
        (topic,) = in_process.call(request, MetadataResponse).topics
        assert topic.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
