"""The primitive types by themselves."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import MalformedMessage
from broker.wire.primitives import (
    NO_UUID,
    read_string,
    read_uuid,
    read_uvarint,
    read_varint,
    read_varlong,
    skip_tagged_fields,
    write_string,
    write_uvarint,
    write_varint,
    write_varlong,
)


@given(st.integers(0, 2**32 - 1), st.binary(max_size=3))
def test_an_unsigned_varint_comes_back_from_anywhere(value: int, before: bytes) -> None:
    """Value and position survive, whatever stands before."""
    out = bytearray(before)
    write_uvarint(out, value)
    assert read_uvarint(memoryview(out), len(before)) == (value, len(out))


@given(st.integers(-(2**31), 2**31 - 1))
def test_a_zigzag_number_of_32_bits_comes_back(value: int) -> None:
    """Both signs survive."""
    out = bytearray()
    write_varint(out, value)
    assert read_varint(out, 0) == (value, len(out))


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_zigzag_number_of_64_bits_comes_back(value: int) -> None:
    """Both signs survive."""
    out = bytearray()
    write_varlong(out, value)
    assert read_varlong(out, 0) == (value, len(out))


@given(st.none() | st.text())
def test_a_string_comes_back(value: str | None) -> None:
    """Null, empty and any letters."""
    out = bytearray()
    write_string(out, value)
    assert read_string(out, 0) == (value, len(out))


@pytest.mark.parametrize(
    ("value", "encoded"), [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**32 - 1, "ffffffff0f")]
)
def test_unsigned_varints_have_the_bytes_of_the_protocol_guide(value: int, encoded: str) -> None:
    """Seven bits a byte, low ones first."""
    out = bytearray()
    write_uvarint(out, value)
    assert out.hex() == encoded


@pytest.mark.parametrize(("value", "encoded"), [(0, "00"), (-1, "01"), (1, "02"), (-64, "7f"), (64, "8001")])
def test_zigzag_numbers_have_the_bytes_of_the_protocol_guide(value: int, encoded: str) -> None:
    """Small numbers of either sign are short."""
    out, long = bytearray(), bytearray()
    write_varint(out, value)
    write_varlong(long, value)
    assert out.hex() == long.hex() == encoded


@pytest.mark.parametrize("encoded", ["", "80", "ffffffff1f", "808080808000"])
def test_a_varint_that_is_cut_or_too_long_is_malformed(encoded: str) -> None:
    """Neither the end of the buffer nor a sixth byte is read over."""
    with pytest.raises(MalformedMessage):
        read_uvarint(bytes.fromhex(encoded), 0)


@pytest.mark.parametrize("encoded", ["", "80", "ff" * 9 + "7f", "80" * 10 + "00"])
def test_a_varlong_that_is_cut_or_too_long_is_malformed(encoded: str) -> None:
    """Neither the end of the buffer nor an eleventh byte is read over."""
    with pytest.raises(MalformedMessage):
        read_varlong(bytes.fromhex(encoded), 0)


@pytest.mark.parametrize("encoded", ["", "00", "0003aabb", "fffe", "0001ff"])
def test_a_string_that_is_cut_or_unsound_is_malformed(encoded: str) -> None:
    """Length, bounds and encoding are checked."""
    with pytest.raises(MalformedMessage):
        read_string(bytes.fromhex(encoded), 0)


def test_tagged_fields_that_nobody_knows_are_passed_over() -> None:
    """The position after them is found from their sizes."""
    assert skip_tagged_fields(bytes.fromhex("00026162 8101 00 ff"), 0, 2) == 7
    with pytest.raises(MalformedMessage):
        skip_tagged_fields(bytes.fromhex("000561"), 0, 1)


def test_uuids_are_kept_and_forgotten() -> None:
    """The same bytes give the same UUID, and the ones that are kept are bounded."""
    assert read_uuid(bytes(16)) == NO_UUID
    ids = [uuid4() for _ in range(5000)]
    assert [read_uuid(one.bytes) for one in ids] == ids
    assert read_uuid(ids[-1].bytes) is read_uuid(ids[-1].bytes)
    assert read_uuid(bytes(15) + b"\x01") == UUID(int=1)
