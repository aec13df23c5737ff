"""Positions of the old log in the new one."""

from hypothesis import given
from hypothesis import strategies as st

from eventbus.migration.offsets import OffsetMap


@given(st.sets(st.integers(5, 200)), st.integers(0, 5), st.integers(0, 9))
def test_a_position_becomes_the_number_of_records_before_it(offsets: set[int], start: int, behind: int) -> None:
    """Whatever the gaps; nothing is known of what lies outside of the old log."""
    end = max(offsets, default=start) + 1 + behind
    found = OffsetMap(start, end)
    for offset in sorted(offsets):
        found.add(offset)
    for position in range(start, end + 1):
        assert found.position(position) == sum(offset < position for offset in offsets)
    assert found.position(start - 1) is None
    assert found.position(end + 1) is None
    assert found.is_behind_all(end)
