"""What the benchmarks say of their repetitions."""

import pytest

from benchmarks.figures import Spread, Verdict, compare, percentile, slope


def test_a_spread_is_least_median_and_most() -> None:
    """Of an even number of repetitions the median lies between the middle two."""
    assert Spread.of([3.0, 1.0, 2.0, 10.0]) == Spread(1.0, 2.5, 10.0)


def test_two_are_different_only_where_their_ranges_do_not_overlap() -> None:
    """A ratio of medians is always told; that it is a difference is claimed of ranges apart alone."""
    apart = compare([10.0, 11.0, 12.0], [4.0, 5.0, 6.0], more_is_better=True)
    overlapping = compare([10.0, 11.0, 12.0], [4.0, 5.0, 10.5], more_is_better=True)

    assert (apart.ratio, apart.verdict) == (11.0 / 5.0, Verdict.BETTER)
    assert (overlapping.ratio, overlapping.verdict) == (11.0 / 5.0, Verdict.NOT_TOLD_APART)


def test_more_is_worse_where_less_is_better() -> None:
    """A latency that is longer has lost."""
    assert compare([10.0], [5.0], more_is_better=False).verdict is Verdict.WORSE


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_a_slope_finds_the_exponent_that_made_the_points(exponent: float) -> None:
    """Points on a power's curve give the power back, whatever its factor."""
    points = [(x, 7.0 * x**exponent) for x in (1.0, 10.0, 100.0, 1000.0)]

    assert slope(points) == pytest.approx(exponent)


def test_a_slope_of_one_point_is_refused_with_the_points() -> None:
    """Two sizes at least are needed."""
    with pytest.raises(ValueError, match=r"\[\(1\.0, 2\.0\)\]"):
        slope([(1.0, 2.0)])


def test_percentiles_are_values_that_were_measured() -> None:
    """The share of the values that is at or under it, and no value in between."""
    values = [float(number) for number in range(1, 1001)]

    assert [percentile(values, share) for share in (0.5, 0.99, 0.999, 1.0)] == [500.0, 990.0, 999.0, 1000.0]
