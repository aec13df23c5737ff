"""docs/explanation/rules.md against the tests that it names."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "rules.md"
# Tests, and the invariants of state machines, which are methods with names of their own.
NAMED = re.compile(r"`([a-z_/0-9]+\.py)::(\w+)`")

ROWS = [
    line
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| rule ")
]


@cache
def functions_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("row", ROWS)
def test_every_rule_names_tests_that_exist(row: str) -> None:
    """A test that is renamed takes its name on the page along."""
    named = NAMED.findall(row)
    assert named, "the rule names no test"
    for path, name in named:
        file = ROOT / "tests" / "broker" / path
        assert file.exists(), f"there is no {file.relative_to(ROOT)}"
        assert name in functions_in(file), f"{path} has no {name}"


def test_the_page_has_the_rules() -> None:
    """The table is read at all."""
    assert len(ROWS) > 80
