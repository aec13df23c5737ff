"""The page of settings says what the code reads."""

import inspect
import runpy
from pathlib import Path

from eventbus import Application
from eventbus.config import Settings

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def test_the_reference_of_settings_is_generated_from_the_code() -> None:
    """`python docs/reference/generate_settings.py` brings it up to date."""
    generated = runpy.run_path(str(REFERENCE / "generate_settings.py"))
    assert (REFERENCE / "settings.md").read_text(encoding="utf-8") == generated["page"]()


def test_an_application_takes_every_setting_as_a_keyword() -> None:
    """As the page says."""
    keywords = set(inspect.signature(Application).parameters)
    assert set(Settings.model_fields) - {"service"} <= keywords
