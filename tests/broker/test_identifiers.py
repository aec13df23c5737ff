"""The identifiers' text forms."""

from uuid import UUID

import pytest

from broker.identifiers import TopicId, TopicPartition, new_topic_id, parse_topic_id, topic_id_text


def test_a_topic_id_has_kafkas_base64_text() -> None:
    """The text is the URL-safe base64 of the 16 bytes, without padding, and parses back."""
    topic_id = TopicId(UUID("8f6d9ba5-1b2c-4c6e-9f0a-fb00ffeeddcc"))
    assert topic_id_text(topic_id) == "j22bpRssTG6fCvsA_-7dzA"
    assert parse_topic_id("j22bpRssTG6fCvsA_-7dzA") == topic_id


def test_new_topic_ids_differ_and_never_look_like_an_option() -> None:
    """A thousand ids are distinct and none starts with a dash."""
    texts = {topic_id_text(new_topic_id()) for _ in range(1000)}
    assert len(texts) == 1000
    assert not any(text.startswith("-") for text in texts)


@pytest.mark.parametrize("text", ["", "short", "j22bpRssTG6fCvsA_-7dzA==", "é" * 22])
def test_a_text_that_is_no_topic_id_is_refused(text: str) -> None:
    """Anything but 22 base64 characters raises ValueError."""
    with pytest.raises(ValueError, match="topic id"):
        parse_topic_id(text)


def test_a_topic_partition_prints_as_its_directory() -> None:
    """The text of a partition is topic, dash, number."""
    assert str(TopicPartition("my-topic", 12)) == "my-topic-12"
