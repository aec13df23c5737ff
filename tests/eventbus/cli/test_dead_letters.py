import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from eventbus.clock import SystemClock
from eventbus.database import Database, DeadLetter, DeadLetters, Migrations, ParkedEvent, ParkedKey, Parking
from eventbus.projections import prepare_projections
from eventbus.testing.contracts.orders import OrderSummaries
from tests.eventbus.cli.test_command import eventbus

APPLICATION = """
import sys
from eventbus import Application, Event, handles

class Paid(Event, topic="payments", key="order_id"):
    order_id: str
    cents: int

@handles(Paid)
async def mark_paid(event: Paid) -> None: ...

app = Application("shop", modules=[sys.modules[__name__]])
"""
HEADERS = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"m-1"),
    ("ce_type", b"Paid"),
    ("ce_source", b"payments"),
    ("ce_time", b"2026-01-02T03:04:05Z"),
)
PARKED = ParkedKey("shop", "payments", b"o-1", "service.mark_paid")


def letter(name: str, key: bytes, *, consumer: str = "shop", error: str = "no such order", day: int = 2) -> DeadLetter:
    return DeadLetter(
        consumer=consumer,
        handler="service.mark_paid",
        topic="payments",
        partition=0,
        offset=day,
        message_id=f"m-{name}",
        type="Paid",
        key=key,
        value=b'{"order_id":"o-1","cents":"ten"}',
        headers=HEADERS,
        error_class="builtins.ValueError",
        error_message=error,
        error_stack="Traceback …",
        attempts=5,
        failed_at=datetime(2026, 1, day, tzinfo=UTC),
        id=name,
        timestamp_ms=0,
    )


@pytest.fixture
def url(tmp_path: Path) -> str:
    """One letter parks its key, with two events behind it; one parks nothing; one is a projection's."""
    url = f"sqlite:///{tmp_path}/shop.sqlite3"

    async def fill() -> None:
        database = Database.from_url(url)
        await Migrations(database).prepare()
        await prepare_projections(database, [OrderSummaries], SystemClock())
        now = datetime.now(UTC)
        waiting = [ParkedEvent(PARKED, 0, offset, f"m-{offset}", "Paid", b"{}", HEADERS, 0, now) for offset in (10, 11)]
        async with database.transaction() as connection:
            letters = [
                letter("parks", b"o-1"),
                letter("alone", b"o-2", error="100% broken", day=3),
                letter("viewed", b"o-3", consumer="order_summaries", day=4),
            ]
            await DeadLetters().add(connection, letters)
            await Parking().park(connection, PARKED, "parks", now)
            await Parking().add(connection, waiting)
        await database.aclose()

    anyio.run(fill)
    (tmp_path / "service.py").write_text(APPLICATION)
    return url


def listed(directory: Path, url: str, *options: str) -> dict[str, dict[str, object]]:
    """What `list --json` tells, by id."""
    result = eventbus(directory, "dead-letters", "list", "--json", "--database", url, *options)
    assert result.returncode == 0, result.stderr
    return {row["id"]: row for row in json.loads(result.stdout)}


def test_letters_are_filtered_and_tell_what_waits_behind_them(tmp_path: Path, url: str) -> None:
    """By key, error, time, handler, type, topic and consumer; a parked key tells how many events wait."""
    every = listed(tmp_path, url)
    assert list(every) == ["viewed", "alone", "parks"]
    assert {name: (row["parks_key"], row["waiting"]) for name, row in every.items()} == {
        "parks": (True, 2),
        "alone": (False, 0),
        "viewed": (False, 0),
    }
    for options, expected in (
        (["--key", "o-2"], {"alone"}),
        (["--key", "base64:by0y"], {"alone"}),
        (["--error", "100%"], {"alone"}),
        (["--error", "valueerror"], {"parks", "alone", "viewed"}),
        (["--before", "2026-01-03T00:00:00Z"], {"parks"}),
        (["--after", "2026-01-03", "--consumer", "shop"], {"alone"}),
        (["--handler", "service.other"], set[str]()),
        (["--type", "Paid", "--topic", "payments", "--limit", "1"], {"viewed"}),
    ):
        assert set(listed(tmp_path, url, *options)) == expected, options
    table = eventbus(tmp_path, "dead-letters", "list", "--database", url).stdout
    assert "payments-0@2" in table
    assert "2026-01-02T00:00:00Z" in table


def test_a_retry_is_asked_for_by_id_by_filter_or_for_all_but_projections(tmp_path: Path, url: str) -> None:
    """A dry run changes nothing; a projection's letter is refused by id, and left out otherwise."""

    def asked() -> set[str]:
        return {name for name, row in listed(tmp_path, url).items() if row["retry_at"]}

    dry = eventbus(tmp_path, "dead-letters", "retry", "--all", "--dry-run", "--database", url)
    assert "2 would be handled again" in dry.stdout
    assert asked() == set()
    by_id = eventbus(tmp_path, "dead-letters", "retry", "alone", "--database", url)
    assert by_id.stdout.startswith("1 will be handled again")
    assert asked() == {"alone"}
    every = eventbus(tmp_path, "dead-letters", "retry", "--all", "--json", "--database", url)
    assert json.loads(every.stdout) == {"requested": 2, "of_projections": 1}
    assert asked() == {"alone", "parks"}
    refused = eventbus(tmp_path, "dead-letters", "retry", "viewed", "--database", url)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "projections rebuild" in refused.stderr


@pytest.mark.parametrize(
    "options",
    [[], ["--all", "--key", "o-1"], ["nobody"], ["--before", "yesterday"], ["--key", "base64:!"]],
    ids=" ".join,
)
@pytest.mark.parametrize("command", ["retry", "discard"])
def test_what_is_not_clear_is_refused(tmp_path: Path, url: str, command: str, options: list[str]) -> None:
    """Nothing chosen, everything and a filter, an id that is not there, a time or key that is none."""
    result = eventbus(tmp_path, "dead-letters", command, *options, "--database", url)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)


def test_a_discarded_letter_is_gone_and_what_waits_behind_it_can_go_on(tmp_path: Path, url: str) -> None:
    """Only with --yes; its key is left to the service, which handles what waits."""
    dry = eventbus(tmp_path, "dead-letters", "discard", "--key", "o-1", "--database", url)
    assert "1 would be discarded; add --yes" in dry.stdout
    assert len(listed(tmp_path, url)) == 3
    done = eventbus(tmp_path, "dead-letters", "discard", "--key", "o-1", "--yes", "--json", "--database", url)
    assert json.loads(done.stdout) == {"discarded": 1}
    assert set(listed(tmp_path, url)) == {"alone", "viewed"}

    async def draining() -> list[ParkedKey]:
        database = Database.from_url(url)
        async with database.reading() as connection:
            found = await Parking().draining(connection, "shop", ["service.mark_paid"], 10)
        await database.aclose()
        return found

    assert anyio.run(draining) == [PARKED]


def test_a_value_is_edited_when_it_fits_the_event(tmp_path: Path, url: str) -> None:
    """From a file; one that does not fit is refused, with what is wrong, and changes nothing."""

    def edit(text: str) -> tuple[int, str]:
        (tmp_path / "value.json").write_text(text)
        result = eventbus(
            tmp_path,
            *("dead-letters", "edit", "parks", "--value", "value.json", "--app", "service:app"),
            EVENTBUS_DATABASE_URL=url,
        )
        return result.returncode, result.stderr or result.stdout

    code, words = edit('{"order_id": "o-1"}')
    assert code == 2
    assert "cents" in words
    assert edit("no json")[0] == 2
    assert edit('{"order_id": "o-1", "cents": 10}\n')[0] == 0
    shown = json.loads(eventbus(tmp_path, "dead-letters", "show", "parks", "--json", "--database", url).stdout)
    assert shown["value"] == '{"order_id": "o-1", "cents": 10}'
    assert shown["edited_at"]
    assert "nothing has changed" in edit('{"order_id": "o-1", "cents": 10}')[1]


def test_a_value_is_edited_in_the_users_editor(tmp_path: Path, url: str) -> None:
    """It opens with readable JSON; what does not fit is kept in its file, and the file is named."""
    editor = tmp_path / "editor.py"
    editor.write_text(
        "import json, os, sys\n"
        "text = open(sys.argv[1]).read()\n"
        "assert text.count('\\n') > 2, text\n"
        "value = json.loads(text) | json.loads(os.environ['CHANGE'])\n"
        "open(sys.argv[1], 'w').write(json.dumps(value))\n"
    )

    def edit(change: str) -> tuple[int, str]:
        result = eventbus(
            tmp_path,
            *("dead-letters", "edit", "parks", "--app", "service:app"),
            EVENTBUS_DATABASE_URL=url,
            VISUAL=f"{sys.executable} {editor}",
            CHANGE=change,
            TMPDIR=str(tmp_path),
        )
        return result.returncode, result.stderr or result.stdout

    code, words = edit('{"cents": "twelve"}')
    assert code == 2
    kept = Path(words.partition("What you wrote is in ")[2].partition(":")[0])
    assert json.loads(kept.read_text())["cents"] == "twelve"
    kept.unlink()
    assert edit('{"cents": 12}') == (0, "parks has a new value; `eventbus dead-letters retry parks` has it handled\n")
    shown = json.loads(eventbus(tmp_path, "dead-letters", "show", "parks", "--json", "--database", url).stdout)
    assert json.loads(shown["value"]) == {"order_id": "o-1", "cents": 12}
