"""The catalogue of the benchmarks."""

from benchmarks.case import Mode
from benchmarks.catalogue import CASES


def test_every_case_has_a_name_of_its_own_and_a_mode() -> None:
    """ONLY=… picks by name, so no name may stand for two."""
    names = [case.name for case in CASES]

    assert len(set(names)) == len(names)
    assert all(case.modes for case in CASES)


def test_every_curve_says_what_a_bend_means() -> None:
    """A curve without a sentence is a picture."""
    assert [case.name for case in CASES if case.x_label and not case.bend] == []


def test_every_case_counts_five_repetitions_or_more() -> None:
    """With fewer a range says little."""
    assert [case.name for case in CASES if Mode.FULL in case.modes and case.repetitions < 5] == []
