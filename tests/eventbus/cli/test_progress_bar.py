"""What a rebuild says on the terminal while it goes on."""

import io
import re

import pytest
from rich.console import Console

from eventbus.cli.rebuild import ProgressBar
from eventbus.projections import RebuildProgress


def shown(*steps: RebuildProgress) -> str:
    """The last line that a terminal shows of them."""
    said = io.StringIO()
    with ProgressBar("orders", Console(file=said, force_terminal=True, width=160, color_system=None)) as bar:
        for step in steps:
            bar(step)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "\n", said.getvalue()).splitlines()
    return [" ".join(line.split()) for line in lines if line.strip()][-1]


@pytest.mark.parametrize(
    ("done", "rate", "left", "words"),
    [
        (0, 0.0, None, "0% 0 of 120,000 0/s"),
        (60_000, 31_250.4, 1.92, "50% 60,000 of 120,000 31,250/s 0:00:02 left"),
        (119_000, 0.2, 5000.0, "99% 119,000 of 120,000 0/s 1:23:20 left"),
    ],
)
def test_share_count_rate_and_time_left_are_on_the_bar(done: int, rate: float, left: float | None, words: str) -> None:
    """Behind the name, the generation and what is being done; no time while nobody can tell."""
    step = RebuildProgress("orders", 2, "building", done, 120_000, rate, left)
    line = shown(step)
    assert line.startswith("orders generation 2: building ")
    assert line.endswith(words)


def test_the_bar_follows_the_build_to_its_end() -> None:
    """One line: each phase takes the place of the one before."""
    begun = RebuildProgress("orders", 2, "building", 10, 100, 50.0, 1.8)
    line = shown(begun, RebuildProgress("orders", 2, "live", 104, 104, 52.0, 0.0))
    assert line.startswith("orders generation 2: live ")
    assert line.endswith("100% 104 of 104 52/s 0:00:00 left")
