"""The page on crashes and the tests name the same points."""

from pathlib import Path

import pytest

from tests.crash.kill_points import PLACES

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "crashes.md"


@pytest.mark.parametrize("point", PLACES)
def test_every_point_is_on_the_page(point: str) -> None:
    """A reader finds what is left there."""
    assert point in PAGE.read_text(encoding="utf-8")
