"""What was written once must be read for ever."""

import json
from pathlib import Path

import pytest
from pydantic import BaseModel, JsonValue

from eventbus.errors import DefinitionError
from eventbus.messages import Event
from eventbus.serialization import MessageTypes, SampleDirectory, Upcaster, Upcasters


class Line(BaseModel, frozen=True):
    sku: str


class First(Event, name="OrderPlaced"):
    order_id: str
    note: str = ""
    lines: tuple[Line, ...] = ()


class Announced(Event, name="news/Announced", topic="news"):
    text: str


class Second(Event, name="OrderPlaced", version=2):
    id: str


def to_second(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"id": data["order_id"]}


UPCASTERS = Upcasters([Upcaster("OrderPlaced", 1, to_second)])


def directory(path: Path, *events: type[Event], upcasters: Upcasters | None = None) -> SampleDirectory:
    return SampleDirectory(path, MessageTypes(events, upcasters or Upcasters()))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A directory with a sample of the first version."""
    directory(tmp_path, First).write()
    return tmp_path


def test_a_sample_is_written_for_each_event_and_read_again(tmp_path: Path) -> None:
    """Whatever its name, a file of its own."""
    samples = SampleDirectory(tmp_path / "new", MessageTypes([First]), [Announced, First])
    done = samples.write()
    assert [path.name for path in done.written] == ["OrderPlaced.v1.json", "news%2FAnnounced.v1.json"]
    assert json.loads(done.written[0].read_text()) == {
        "type": "OrderPlaced",
        "version": 1,
        "data": {"order_id": "order_id", "note": "note", "lines": [{"sku": "sku"}]},
    }
    assert samples.faults() == []
    again = samples.write()
    assert (again.written, len(again.kept)) == ((), 2)


def test_a_sample_is_never_changed_and_a_new_version_has_one_of_its_own(written: Path) -> None:
    """The old one is read through the upcaster."""
    before = (written / "OrderPlaced.v1.json").read_bytes()
    samples = directory(written, Second, upcasters=UPCASTERS)
    done = samples.write()
    assert [path.name for path in done.written] == ["OrderPlaced.v2.json"]
    assert (written / "OrderPlaced.v1.json").read_bytes() == before
    assert samples.faults() == []


def test_a_field_added_with_a_default_is_no_fault(written: Path) -> None:
    """Old events do not have it."""

    class Wider(Event, name="OrderPlaced"):
        order_id: str
        note: str = ""
        lines: tuple[Line, ...] = ()
        currency: str = "EUR"

    assert directory(written, Wider).faults() == []


def test_a_change_that_breaks_reading_an_old_sample_is_a_fault(written: Path) -> None:
    """With the file and the field."""

    class Broken(Event, name="OrderPlaced"):
        order_id: str
        customer_id: str
        note: str
        lines: tuple[Line, ...]

    assert directory(written, Broken).faults() == [
        f"{written}/OrderPlaced.v1.json can be read no more: OrderPlaced v1: customer_id: Field required"
    ]


class Narrower(Event, name="OrderPlaced"):
    order_id: str
    remark: str = ""
    lines: tuple[BaseModel, ...] = ()


def test_a_field_that_is_read_by_nothing_is_a_fault(written: Path) -> None:
    """It would be lost in silence: a renamed field with a default, say; also within a list."""
    faults = directory(written, Narrower).faults()
    assert [fault.removeprefix(f"{written}/").partition(" any more")[0] for fault in faults] == [
        "OrderPlaced.v1.json: nothing reads OrderPlaced.lines.sku",
        "OrderPlaced.v1.json: nothing reads OrderPlaced.note",
    ]


def test_a_field_may_be_dropped_on_purpose(written: Path) -> None:
    """By its path."""
    assert directory(written, Narrower).faults(unread={"OrderPlaced.note", "OrderPlaced.lines.sku"}) == []


def test_a_renamed_event_needs_its_alias(written: Path) -> None:
    """Else what was written before is passed over as unknown."""

    class Renamed(Event, name="OrderReceived"):
        order_id: str
        note: str = ""
        lines: tuple[Line, ...] = ()

    class Aliased(Event, name="OrderReceived", aliases=["OrderPlaced"]):
        order_id: str
        note: str = ""
        lines: tuple[Line, ...] = ()

    assert directory(written, Aliased).faults() == []
    nameless, missing = directory(written, Renamed).faults()
    assert "no event here is called OrderPlaced: give aliases=['OrderPlaced'] to the class that it is now" in nameless
    assert missing.endswith("OrderReceived.v1.json is missing: run `eventbus messages snapshot`")


def test_a_version_without_a_sample_is_a_fault(tmp_path: Path) -> None:
    """An older one has to come from the log."""
    old, new = directory(tmp_path, Second, upcasters=UPCASTERS).faults()
    assert "OrderPlaced.v1.json is missing: take the value of a OrderPlaced v1 from the log" in old
    assert "OrderPlaced.v2.json is missing: run `eventbus messages snapshot`" in new


def test_samples_of_the_users_own_are_held_to_the_same(written: Path) -> None:
    """Under any name; also of versions that are too new."""
    (written / "empty order.json").write_text('{"type": "OrderPlaced", "version": 1, "data": {"order_id": 5}}')
    (written / "future.json").write_text('{"type": "OrderPlaced", "version": 7, "data": {}}')
    one, other = directory(written, First).faults()
    assert "empty order.json can be read no more: OrderPlaced v1: order_id: Input should be a valid string" in one
    assert "future.json can be read no more: OrderPlaced v7 is newer than version 1" in other


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", r"the file: Invalid JSON"),
        ("[]", r"the file: Input should be an object"),
        ('{"type": "OrderPlaced", "data": {}}', "version: Field required"),
        ('{"type": "OrderPlaced", "version": 1, "data": {}, "x": 1}', "x: Extra inputs are not permitted"),
    ],
)
def test_a_file_that_is_no_sample_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """Rather than passed over."""
    (tmp_path / "wrong.json").write_text(text)
    with pytest.raises(DefinitionError, match=rf"wrong\.json is no sample \({says}"):
        directory(tmp_path, First).faults()


def test_an_event_of_which_none_can_be_made_up_hinders_no_other(tmp_path: Path) -> None:
    """And is told."""

    class Hard(Event):
        key: complex

    with pytest.raises(DefinitionError, match="Hard: no sample of it can be made up"):
        directory(tmp_path, Hard, First).write()
    assert (tmp_path / "OrderPlaced.v1.json").exists()


def test_an_older_sample_of_what_is_only_published_is_its_readers_concern(tmp_path: Path) -> None:
    """Here nothing reads it."""

    class Newer(Event, name="news/Announced", topic="news", version=2):
        headline: str

    SampleDirectory(tmp_path, MessageTypes([]), [Announced]).write()
    samples = SampleDirectory(tmp_path, MessageTypes([]), [Newer])
    assert len(samples.faults()) == 1
    samples.write()
    assert samples.faults() == []
