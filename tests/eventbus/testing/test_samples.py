"""An application is held to what it has written."""

import sys
from pathlib import Path

import pytest

from eventbus import Application, Event, handles
from eventbus.serialization import SampleDirectory
from eventbus.testing import check_samples


class Paid(Event, topic="payments"):
    order_id: str


class Announced(Event, topic="news"):
    text: str


@handles(Paid)
async def on_paid(event: Paid) -> None: ...


@pytest.fixture
def app() -> Application:
    return Application("shop", modules=[sys.modules[__name__]], broker_url="embedded:/never/opened")


def test_an_application_that_reads_its_samples_passes(app: Application, tmp_path: Path) -> None:
    """Those of what it handles, and of what it publishes."""
    done = SampleDirectory(tmp_path, app.model.types, app.model.named_events).write()
    assert sorted(path.name for path in done.written) == ["Announced.v1.json", "Paid.v1.json"]
    check_samples(app, tmp_path)


def test_each_fault_is_a_line_of_the_failure(app: Application, tmp_path: Path) -> None:
    """Missing, unreadable, and with a field that is read no more."""
    (tmp_path / "paid.json").write_text('{"type": "Paid", "version": 1, "data": {"order_id": "o-1", "amount": 5}}')
    with pytest.raises(AssertionError) as caught:
        check_samples(app, tmp_path)
    first, second = str(caught.value).splitlines()
    assert "nothing reads Paid.amount any more" in first
    assert "Announced.v1.json is missing" in second
    with pytest.raises(AssertionError, match=r"^\S*Announced\.v1\.json is missing: run `eventbus messages snapshot`$"):
        check_samples(app, tmp_path, unread={"Paid.amount"})
