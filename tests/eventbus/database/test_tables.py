import runpy
from pathlib import Path

from eventbus.database.tables import metadata

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


def test_the_reference_page_is_what_the_code_says() -> None:
    """`python docs/reference/generate_tables.py` brings it up to date."""
    generated = runpy.run_path(str(REFERENCE / "generate_tables.py"))
    assert (REFERENCE / "tables.md").read_text() == generated["page"]()


def test_every_table_is_the_frameworks_by_its_name_and_says_what_it_is_for() -> None:
    """A service's own tables live beside them."""
    for table in metadata.tables.values():
        assert table.name.startswith("eventbus_")
        assert table.info["doc"].endswith(".")
