"""The reference pages of the wire protocol."""

from __future__ import annotations

import runpy
from pathlib import Path

DIRECTORY = Path(__file__).parents[3] / "docs" / "reference" / "wire"


def test_the_pages_are_what_the_declarations_say() -> None:
    """Run `python docs/reference/wire/generate.py` when this fails."""
    expected = runpy.run_path(str(DIRECTORY / "generate.py"))["pages"]()
    assert {page.name: page.read_text() for page in DIRECTORY.glob("*.md")} == expected
