"""docs/explanation/guarantees.md against the tests that it names."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "guarantees.md"
SUITES = ROOT / "eventbus" / "testing" / "contracts"
NAMED = re.compile(r"`([a-z_/0-9]+\.py)::(test_\w+)`")

ROWS = [
    line
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| promise ")
]


@cache
def homes_of_tests(path: Path) -> dict[str, str]:
    """Each test of a file, and the class that it is a method of; "" for a function."""
    homes: dict[str, str] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        inside = node.name if isinstance(node, ast.ClassDef) else "" if isinstance(node, ast.Module) else None
        for one in ast.iter_child_nodes(node) if inside is not None else ():
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
                homes[one.name] = inside or ""
            elif isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name):
                # `test_x = Model.TestCase`: how Hypothesis gives a state machine to pytest.
                homes[one.targets[0].id] = inside or ""
    return homes


@cache
def suites_that_run() -> frozenset[str]:
    """The classes that those of tests/ are derived from."""
    return frozenset(
        base.id
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Name)
    )


@pytest.mark.parametrize("row", ROWS)
def test_every_promise_names_tests_that_exist_and_run(row: str) -> None:
    """A test that is renamed takes its name on the page along, and a suite that nobody runs holds nothing."""
    named = NAMED.findall(row)
    assert named, "the promise names no test"
    assert len(named) == row.count("::"), "a name that is none of a test"
    for path, name in named:
        file = ROOT / path
        assert file.exists(), f"there is no {path}"
        homes = homes_of_tests(file)
        assert name in homes, f"{path} has no {name}"
        if file.is_relative_to(SUITES):
            assert homes[name] in suites_that_run(), f"nobody runs {homes[name]}"


def test_the_page_has_the_promises() -> None:
    """The table is read at all."""
    assert len(ROWS) > 50
