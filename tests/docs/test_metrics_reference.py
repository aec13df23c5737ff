"""The page of metrics says what the code measures."""

import runpy
from pathlib import Path

from eventbus import observability

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def test_the_reference_of_metrics_is_generated_from_the_code() -> None:
    """`python docs/reference/generate_metrics.py` brings it up to date."""
    generated = runpy.run_path(str(REFERENCE / "generate_metrics.py"))
    assert (REFERENCE / "metrics.md").read_text(encoding="utf-8") == generated["page"]()


def test_every_counter_is_on_the_page() -> None:
    """By its name, whatever the generator makes of the module."""
    text = (REFERENCE / "metrics.md").read_text(encoding="utf-8")
    names = {value for name, value in vars(observability).items() if name.isupper() and not name.startswith("_")}
    assert names
    assert {name for name in names if f"| `{name}` |" not in text} == set()
