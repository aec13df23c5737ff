import confluent_kafka.cimpl
from hypothesis import given
from hypothesis import strategies as st

from eventbus.transport.partitioning import murmur2, partition_of, slot_of


def test_the_hash_is_that_of_the_java_client() -> None:
    """Values from Kafka's own UtilsTest."""
    known = {"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536, "abc": 479470107}
    for key, signed in known.items():
        assert murmur2(key.encode()) == signed & 0xFFFFFFFF


@given(key=st.binary(max_size=64), partitions=st.integers(1, 1000))
def test_the_partition_is_that_of_librdkafka(key: bytes, partitions: int) -> None:
    """Any key, any number of partitions."""
    assert partition_of(key, partitions) == confluent_kafka.cimpl.murmur2(key, partitions)


@given(key=st.binary(max_size=64), slots=st.integers(1, 64))
def test_a_key_has_one_slot(key: bytes, slots: int) -> None:
    """Within the number of slots; what has no key shares the first one."""
    assert 0 <= slot_of(key, slots) < slots
    assert slot_of(key, 1) == slot_of(None, slots) == 0
