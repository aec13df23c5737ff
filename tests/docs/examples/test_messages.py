"""The order service is held to what it has written: docs/how-to/rename-or-change-an-event.md."""

from pathlib import Path

from eventbus import Application
from eventbus.testing import check_samples
from tests.docs.examples import changed_events

app = Application("order-service", modules=[changed_events])


def test_everything_that_was_ever_written_can_be_read() -> None:
    """A file for each event and version, from `eventbus messages snapshot`."""
    check_samples(app, Path(__file__).parent / "messages")
