import time
import uuid

from eventbus.store import new_event_id


def test_an_event_id_is_a_uuid_of_version_seven() -> None:
    """Version and variant are where RFC 9562 has them."""
    found = uuid.UUID(new_event_id())
    assert found.version == 7
    assert found.variant == uuid.RFC_4122


def test_event_ids_are_unique_and_begin_with_the_time() -> None:
    """Many within a millisecond differ; a later millisecond sorts behind."""
    first = {new_event_id() for _ in range(10_000)}
    assert len(first) == 10_000
    time.sleep(0.002)
    assert new_event_id() > max(first)
    milliseconds = uuid.UUID(new_event_id()).int >> 80
    assert abs(milliseconds - time.time() * 1000) < 1000
