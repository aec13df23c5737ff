import runpy
from pathlib import Path

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


def test_the_command_reference_is_what_help_says() -> None:
    """`python docs/reference/generate_cli.py` brings it up to date."""
    generated = runpy.run_path(str(REFERENCE / "generate_cli.py"))
    assert (REFERENCE / "cli.md").read_text(encoding="utf-8") == generated["page"]()
