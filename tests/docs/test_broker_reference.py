"""The page of the broker's commands says what they do."""

import argparse
import runpy
from pathlib import Path

import pytest

from broker.cli.command import COMMANDS, parser

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def test_the_reference_of_the_broker_is_generated_from_its_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python docs/reference/generate_broker_cli.py` brings it up to date."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("BROKER_BOOTSTRAP", "elsewhere:1")
    generated = runpy.run_path(str(REFERENCE / "generate_broker_cli.py"))
    assert (REFERENCE / "broker.md").read_text(encoding="utf-8") == generated["page"]()


def test_every_command_has_examples_that_the_command_line_takes() -> None:
    """Each line of an example that begins with the program's name is read; one at least is of its command."""
    page = (REFERENCE / "broker.md").read_text(encoding="utf-8")
    top = parser(*COMMANDS)
    for section in page.split("\n## ")[1:]:
        prog = section.splitlines()[0]
        lines = [line.strip() for line in section.splitlines() if line.startswith("  broker ")]
        commands = [line.split("  ")[0].split(" | ")[0].split(" < ")[0] for line in lines]
        if "[-h] COMMAND" in section.replace("[--version] ", "") or not commands:
            assert "COMMAND" in section, f"{prog} has no example"
            continue
        assert any(command.startswith(prog) for command in commands), prog
        for command in commands:
            assert isinstance(top.parse_args(command.split()[1:]), argparse.Namespace)
