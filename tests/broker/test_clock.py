"""The clocks."""

import pytest

from broker.clock import ManualClock, SystemClock


def test_the_manual_clock_moves_only_when_told() -> None:
    """Both hands stand still, then move together."""
    clock = ManualClock(1000)
    assert (clock.now_ms(), clock.monotonic()) == (1000, 0.0)
    clock.advance_ms(1500)
    assert (clock.now_ms(), clock.monotonic()) == (2500, 1.5)


def test_a_wall_clock_jump_leaves_deadlines_alone() -> None:
    """The wall hand goes back, the monotonic one does not."""
    clock = ManualClock(1000)
    clock.set_wall_ms(10)
    assert (clock.now_ms(), clock.monotonic()) == (10, 0.0)
    with pytest.raises(ValueError, match="cannot advance"):
        clock.advance_ms(-1)


def test_the_system_clock_counts_milliseconds_since_1970() -> None:
    """The wall hand lies between 2020 and 2100, and monotonic does not go back."""
    clock = SystemClock()
    assert 1_577_836_800_000 < clock.now_ms() < 4_102_444_800_000
    assert clock.monotonic() <= clock.monotonic()
