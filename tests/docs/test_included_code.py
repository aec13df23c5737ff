"""The pages show the code that runs, and their links lead somewhere."""

import re
from pathlib import Path

import pytest

from docs import include_code

PAGES = list(include_code.pages())
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(include_code.ROOT)))
def test_a_page_shows_the_code_that_runs(page: Path) -> None:
    """A block that says where it comes from has exactly that text."""
    assert include_code.rewritten(page) == page.read_text(), "run: python docs/include_code.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(include_code.ROOT)))
def test_a_page_links_only_to_what_is_there(page: Path) -> None:
    """A relative link names a file or a folder of this tree."""
    missing = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert missing == []
