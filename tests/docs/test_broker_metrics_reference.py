"""The page of metrics says what a broker tells."""

import runpy
from pathlib import Path

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def test_the_reference_of_metrics_is_generated_from_a_broker() -> None:
    """`python docs/reference/generate_broker_metrics.py` brings it up to date."""
    generated = runpy.run_path(str(REFERENCE / "generate_broker_metrics.py"))
    assert (REFERENCE / "broker-metrics.md").read_text(encoding="utf-8") == generated["page"]()
