import io
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import anyio
import pytest
from sqlalchemy import insert

from eventbus.cli import main
from eventbus.clock import SystemClock
from eventbus.database import Database, DeadLetter, DeadLetters, Migrations
from eventbus.database.tables import outbox
from eventbus.projections import prepare_projections
from eventbus.testing.contracts.orders import OrderSummaries

APPLICATION = """
import sys
from eventbus import Application, Event, Row, RowProjection, projects

class OrderPlaced(Event, topic="orders", key="order_id"):
    order_id: str

class OrderCount(Row, key="order_id"):
    order_id: str

class OrderCounts(RowProjection[OrderCount], topics=["orders"]):
    @projects(OrderPlaced)
    def placed(self, row: OrderCount | None, event: OrderPlaced) -> OrderCount:
        return OrderCount(order_id=event.order_id)

app = Application("shop", modules=[sys.modules[__name__]])
nothing = None
"""
COMMANDS = [
    ["run"],
    ["projections", "list"],
    ["projections", "status"],
    ["projections", "rebuild"],
    ["projections", "switch"],
    ["projections", "rollback"],
    ["projections", "drop"],
    ["projections", "pause"],
    ["projections", "resume"],
    ["dead-letters", "list"],
    ["dead-letters", "show"],
    ["dead-letters", "retry"],
    ["dead-letters", "edit"],
    ["dead-letters", "discard"],
    ["consumers", "list"],
    ["consumers", "seek"],
    ["outbox", "status"],
    ["messages", "snapshot"],
    ["migrate"],
    ["topics", "plan"],
    ["topics", "check"],
    ["topics", "apply"],
    ["database", "upgrade"],
    ["database", "current"],
    ["database", "sql"],
]


@dataclass(frozen=True)
class Result:
    returncode: int
    stdout: str
    stderr: str


def eventbus(directory: Path, *arguments: str, **environment: str) -> Result:
    """The command line in this process, as if it had been started in *directory*."""
    output, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
        for name in [name for name in os.environ if name.startswith("EVENTBUS_")]:
            patch.delenv(name)
        for name, value in ({"EVENTBUS_BROKER_URL": f"embedded:{directory}/state"} | environment).items():
            patch.setenv(name, value)
        patch.chdir(directory)
        patch.setattr(sys, "path", list(sys.path))
        patch.setattr(sys, "argv", ["eventbus", *arguments])
        patch.delitem(sys.modules, "service", raising=False)
        try:
            main()
        except SystemExit as end:
            return Result(int(end.code or 0), output.getvalue(), errors.getvalue())
        finally:
            sys.modules.pop("service", None)
    return Result(0, output.getvalue(), errors.getvalue())


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A shop's database with one dead letter and one row in the outbox."""
    url = f"sqlite:///{tmp_path}/shop.sqlite3"

    async def fill() -> None:
        database = Database.from_url(url)
        await Migrations(database).prepare()
        await prepare_projections(database, [OrderSummaries], SystemClock())
        letter = DeadLetter(
            consumer="shop",
            handler="handlers.mark_paid",
            topic="payments",
            partition=3,
            offset=42,
            message_id="m-1",
            type="PaymentAuthorized",
            key=b"o-1",
            value=b"\xff{",
            headers=(("ce_type", b"PaymentAuthorized"), ("odd", b"\xff")),
            error_class="builtins.ValueError",
            error_message="no such [red]order[/red]",
            error_stack="Traceback …",
            attempts=5,
            failed_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            id="letter-1",
        )
        async with database.transaction() as connection:
            await DeadLetters().add(connection, [letter])
            await connection.execute(
                insert(outbox).values(
                    id="e-1",
                    aggregatetype="Order",
                    aggregateid="o-1",
                    type="OrderPlaced",
                    payload=b"{}",
                    topic="orders",
                    headers="[]",
                    slot=0,
                    created_at=datetime.now(UTC),
                )
            )
        await database.aclose()

    anyio.run(fill)
    return url


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_shows_an_example_and_json(tmp_path: Path, command: list[str]) -> None:
    """What a person on call reads first."""
    result = eventbus(tmp_path, *command, "--help")
    assert result.returncode == 0
    assert "Example: eventbus" in result.stdout
    assert "--json" in result.stdout


def test_help_is_quick(tmp_path: Path) -> None:
    """SQLAlchemy alone costs 0.3 s: nothing of it is imported."""
    code = (
        "import sys, eventbus.cli; print([name for name in ('sqlalchemy', 'pydantic', 'rich') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert result.stdout == "[]\n"


def test_dead_letters_are_listed_and_shown_with_their_bytes(tmp_path: Path, url: str) -> None:
    """As a table, and as JSON; other bytes than text in base64."""
    table = eventbus(tmp_path, "dead-letters", "list", "--database", url)
    assert "letter-1" in table.stdout
    assert "payments-3@42" in table.stdout
    assert "no such [red]order[/red]" in table.stdout
    (letter,) = json.loads(eventbus(tmp_path, "dead-letters", "list", "--json", EVENTBUS_DATABASE_URL=url).stdout)
    assert (letter["id"], letter["attempts"], letter["failed_at"]) == ("letter-1", 5, "2026-01-02T03:04:05Z")
    assert (
        json.loads(eventbus(tmp_path, "dead-letters", "list", "--consumer", "x", "--json", "--database", url).stdout)
        == []
    )
    shown = json.loads(eventbus(tmp_path, "dead-letters", "show", "letter-1", "--json", "--database", url).stdout)
    assert (shown["key"], shown["value"]) == ("o-1", "base64:/3s=")
    assert shown["headers"] == [["ce_type", "PaymentAuthorized"], ["odd", "base64:/w=="]]
    assert "Traceback …" in eventbus(tmp_path, "dead-letters", "show", "letter-1", "--database", url).stdout
    missing = eventbus(tmp_path, "dead-letters", "show", "letter-2", "--database", url)
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)


def test_the_outbox_tells_what_waits(tmp_path: Path, url: str) -> None:
    """How many, since when, and who has which slot."""
    status = json.loads(eventbus(tmp_path, "outbox", "status", "--json", "--database", url).stdout)
    assert status["rows"] == 1
    assert status["oldest_age_seconds"] >= 0
    assert [slot["slot"] for slot in status["slots"]] == [0]
    assert "1 waiting" in eventbus(tmp_path, "outbox", "status", "--database", url).stdout


def test_projections_are_listed_with_their_generations(tmp_path: Path, url: str) -> None:
    """From the database alone; with the application, what was never started, too."""
    (row,) = json.loads(eventbus(tmp_path, "projections", "list", "--json", "--database", url).stdout)
    assert (row["projection"], row["generation"], row["version"], row["state"]) == ("order_summaries", 1, 1, "live")
    (tmp_path / "service.py").write_text(APPLICATION)
    both = eventbus(tmp_path, "projections", "list", "--json", EVENTBUS_DATABASE_URL=url, EVENTBUS_APP="service:app")
    assert [(row["projection"], row["state"]) for row in json.loads(both.stdout)] == [
        ("order_summaries", "live"),
        ("order_counts", "not started"),
    ]


def test_the_schema_is_made_and_shown(tmp_path: Path) -> None:
    """`upgrade` twice is `upgrade` once."""
    url = f"sqlite:///{tmp_path}/new.sqlite3"
    before = json.loads(eventbus(tmp_path, "database", "current", "--json", "--database", url).stdout)
    assert (before["revision"], before["is_current"]) == (None, False)
    first = json.loads(eventbus(tmp_path, "database", "upgrade", "--json", "--database", url).stdout)
    assert first["applied"]
    assert first["revision"] == first["applied"][-1]
    assert "nothing to do" in eventbus(tmp_path, "database", "upgrade", "--database", url).stdout
    assert "up to date" in eventbus(tmp_path, "database", "current", "--database", url).stdout


def test_the_schema_is_made_by_hand_from_the_printed_sql(tmp_path: Path) -> None:
    """`sql` changes nothing; what it prints, run by the database's own tool, is what `upgrade` makes."""
    url = f"sqlite:///{tmp_path}/new.sqlite3"
    script = eventbus(tmp_path, "database", "sql", "--database", url).stdout
    assert json.loads(eventbus(tmp_path, "database", "current", "--json", "--database", url).stdout)["revision"] is None
    with closing(sqlite3.connect(tmp_path / "new.sqlite3")) as connection:
        connection.executescript(script)
    assert "up to date" in eventbus(tmp_path, "database", "current", "--database", url).stdout
    assert "nothing to do" in eventbus(tmp_path, "database", "sql", "--database", url).stdout
    assert json.loads(eventbus(tmp_path, "database", "sql", "--json", "--database", url).stdout)["sql"] == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["projections", "rebuild", "x"], "Say which application: --app module:attribute"),
        (["projections", "rebuild", "x", "--app", "service"], "is not module:attribute"),
        (["projections", "rebuild", "x", "--app", "servis:app"], "there is no module servis"),
        (["projections", "rebuild", "x", "--app", "service:ap"], "there is no ap in service: is service:app meant?"),
        (
            ["projections", "rebuild", "x", "--app", "service:sys"],
            "sys is module, not an eventbus.Application: is service:app meant?",
        ),
        (["run", "servis:app"], "servis:app: there is no module servis"),
        (["outbox", "status"], "Say which database: --app module:attribute, --database URL, --service NAME"),
        (["outbox", "status", "--database", "mysql://x"], "EVENTBUS_DATABASE_URL"),
        (["outbox", "status", "--database", "sqlite:///missing.sqlite3"], "start the service once"),
        (["outbox", "status", "--service", "no/name"], "name"),
    ],
)
def test_wrong_input_is_one_sentence_and_code_2(tmp_path: Path, arguments: list[str], words: str) -> None:
    """On standard error, without a traceback."""
    (tmp_path / "service.py").write_text(APPLICATION)
    result = eventbus(tmp_path, *arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_version_is_the_distributions(tmp_path: Path) -> None:
    """The one that pip shows."""
    result = eventbus(tmp_path, "--version")
    assert (result.returncode, result.stdout) == (0, f"eventbus {version('eventbus-msa')}\n")


def test_an_unknown_command_is_code_2(tmp_path: Path) -> None:
    """With where to look."""
    result = eventbus(tmp_path, "projection")
    assert result.returncode == 2
    assert "No such command" in result.stderr


def test_a_service_with_a_wrong_setting_is_one_sentence_and_code_2(tmp_path: Path) -> None:
    """The variable's name is in it; here as a process of its own."""
    (tmp_path / "service.py").write_text(APPLICATION)
    result = subprocess.run(
        [sys.executable, "-m", "eventbus.cli", "run", "service:app"],
        cwd=tmp_path,
        env={**os.environ, "EVENTBUS_PARTITIONS": "many"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2
    assert "EVENTBUS_PARTITIONS" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_rebuild_of_an_unknown_projection_names_those_that_are_there(tmp_path: Path) -> None:
    """Before anything is connected or waited for."""
    (tmp_path / "service.py").write_text(APPLICATION)
    result = eventbus(tmp_path, "projections", "rebuild", "x", "--app", "service:app")
    assert result.returncode == 2
    assert result.stderr == "shop has no projection 'x'; it has order_counts.\n"
    assert not (tmp_path / "state").exists()


def test_a_snapshot_of_the_messages_is_written_once(tmp_path: Path) -> None:
    """The second run keeps what is there."""
    (tmp_path / "service.py").write_text(APPLICATION)
    first = eventbus(tmp_path, "messages", "snapshot", "--app", "service:app")
    assert (first.returncode, first.stdout.splitlines()) == (
        0,
        ["written tests/messages/OrderPlaced.v1.json", "1 written, 0 kept in tests/messages"],
    )
    sample = {"type": "OrderPlaced", "version": 1, "data": {"order_id": "order_id"}}
    assert json.loads((tmp_path / "tests" / "messages" / "OrderPlaced.v1.json").read_text()) == sample
    second = eventbus(tmp_path, "messages", "snapshot", "--app", "service:app", "--json")
    assert json.loads(second.stdout) == {"written": [], "kept": ["tests/messages/OrderPlaced.v1.json"]}


def test_a_file_among_the_samples_that_is_none_is_told_in_a_sentence(tmp_path: Path) -> None:
    """And nothing is written."""
    (tmp_path / "service.py").write_text(APPLICATION)
    (tmp_path / "wrong.json").write_text("{}")
    done = eventbus(tmp_path, "messages", "snapshot", "--app", "service:app", "--to", ".")
    assert done.returncode == 2
    assert done.stderr.startswith("wrong.json is no sample (type: Field required)")
