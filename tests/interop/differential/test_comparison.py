"""The comparison's teeth: what differs between two answers is found, what may differ is not."""

from uuid import UUID

import pytest

from broker.records import NewRecord, build_batch
from broker.wire.messages.fetch import FetchableTopicResponse, FetchPartitionData, FetchResponse
from broker.wire.messages.metadata import MetadataResponse, MetadataResponsePartition, MetadataResponseTopic
from tests.interop.differential.comparison import Identities, compare

ONE, TWO, THREE = (UUID(int=number) for number in (1, 2, 3))
VERSION = 12


def _metadata(*topics: tuple[str, UUID, int], partitions: int = 2) -> MetadataResponse:
    return MetadataResponse(
        topics=[
            MetadataResponseTopic(
                name=name,
                topic_id=topic_id,
                error_code=error,
                partitions=[MetadataResponsePartition(partition_index=index) for index in range(partitions)],
            )
            for name, topic_id, error in topics
        ]
    )


def _fetched(value: bytes, *, offset: int = 0, producer_id: int = -1) -> FetchResponse:
    batch = build_batch([NewRecord(b"k", value)], timestamp=5, base_offset=offset, producer_id=producer_id)
    partition = FetchPartitionData(partition_index=0, records=bytes(batch))
    return FetchResponse(responses=[FetchableTopicResponse(topic="t", partitions=[partition])])


def test_the_same_answer_has_no_difference() -> None:
    """Also with entries in another order, and with ids that stand for each other."""
    ours, theirs = _metadata(("a", ONE, 0), ("b", TWO, 3)), _metadata(("b", THREE, 3), ("a", TWO, 0))
    assert compare(ours, theirs, VERSION, Identities()) == []


@pytest.mark.parametrize(
    ("theirs", "place"),
    [
        (_metadata(("a", ONE, 3)), "topics[a].error_code"),
        (_metadata(("a", ONE, 0), partitions=1), "topics[a].partitions[1]"),
        (_metadata(("a", ONE, 0), partitions=3), "topics[a].partitions[2]"),
        (_metadata(("a", ONE, 0), ("b", TWO, 0)), "topics[b]"),
        (_metadata(), "topics[a]"),
        (_metadata(("a", UUID(int=0), 0)), "topics[a].topic_id"),
        ("connection closed", "outcome"),
    ],
)
def test_what_differs_is_found(theirs: MetadataResponse | str, place: str) -> None:
    """A code, an entry too few or too many, an id that is not there, no answer at all."""
    (difference,) = compare(_metadata(("a", ONE, 0)), theirs, VERSION, Identities())
    assert difference.place == place


def test_an_id_stands_for_one_other_only() -> None:
    """A topic whose id changes, or two topics with one id, on either side."""
    identities = Identities()
    assert compare(_metadata(("a", ONE, 0)), _metadata(("a", TWO, 0)), VERSION, identities) == []
    assert compare(_metadata(("a", THREE, 0)), _metadata(("a", TWO, 0)), VERSION, identities)
    assert compare(_metadata(("a", ONE, 0)), _metadata(("a", THREE, 0)), VERSION, identities)


def test_records_are_compared_byte_for_byte() -> None:
    """Their values, their offsets; a producer's id is matched like any other."""
    identities = Identities()
    assert compare(_fetched(b"v", producer_id=7), _fetched(b"v", producer_id=9), VERSION, identities) == []
    assert [each.path for each in compare(_fetched(b"v"), _fetched(b"w"), VERSION, identities)] == [
        "responses.partitions.records.body"
    ]
    assert [each.path for each in compare(_fetched(b"v"), _fetched(b"v", offset=1), VERSION, identities)] == [
        "responses.partitions.records.base_offset"
    ]
    assert compare(_fetched(b"v", producer_id=7), _fetched(b"v", producer_id=8), VERSION, identities)
