"""The page of differences from Apache Kafka has every one that the differential test allows."""

from pathlib import Path

from tests.interop.differential.allowed import ALLOWED

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "differences-from-apache-kafka.md"


def test_every_allowed_difference_is_on_the_page() -> None:
    """In its own words, so that nobody allows one silently."""
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert [allowed.reason for allowed in ALLOWED if allowed.reason not in text] == []
