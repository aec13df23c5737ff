from datetime import UTC, timedelta

from eventbus.clock import Clock, SystemClock


def test_the_wall_clock_is_aware_and_in_utc() -> None:
    """What is written down is comparable between services."""
    clock: Clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.now().utcoffset() == timedelta(0)


def test_the_monotonic_clock_does_not_go_back() -> None:
    """Waits are measured on it."""
    clock = SystemClock()
    assert clock.monotonic() <= clock.monotonic()
