"""The reference of the options of a kafka:// URL is generated from the code."""

import runpy
from pathlib import Path

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def test_the_reference_of_kafka_options_is_generated_from_the_code() -> None:
    """`python docs/reference/generate_kafka_options.py` brings it up to date."""
    generated = runpy.run_path(str(REFERENCE / "generate_kafka_options.py"))
    assert (REFERENCE / "kafka-options.md").read_text(encoding="utf-8") == generated["page"]()
