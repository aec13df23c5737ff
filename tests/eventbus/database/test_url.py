from pathlib import Path

import pytest

from eventbus.database.url import PostgresqlServer, SqliteFile, SqliteMemory, parse_database_url
from eventbus.errors import InvalidConfiguration


def test_a_sqlite_url_names_an_absolute_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four slashes are an absolute path; three are relative to the working directory, which may change afterwards."""
    monkeypatch.chdir(tmp_path)
    assert parse_database_url("sqlite:////var/lib/x.sqlite3") == SqliteFile(Path("/var/lib/x.sqlite3"))
    assert parse_database_url("sqlite:///x.sqlite3") == SqliteFile(tmp_path / "x.sqlite3")


@pytest.mark.parametrize(
    ("url", "name"),
    [("memory:", None), ("sqlite:///:memory:", None), ("sqlite://", None), ("memory:shop", "shop")],
)
def test_a_database_can_be_in_memory(url: str, name: str | None) -> None:
    """As SQLite's users write it, or as the log in memory is written."""
    assert parse_database_url(url) == SqliteMemory(name)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_the_framework_picks_the_driver_for_postgresql(scheme: str) -> None:
    """Both schemes that are in use are understood."""
    server = parse_database_url(f"{scheme}://user:p%40ss@db.example:5433/orders")
    assert isinstance(server, PostgresqlServer)
    assert server.url.drivername == "postgresql+asyncpg"
    assert (server.url.username, server.url.password, server.url.host) == ("user", "p@ss", "db.example")
    assert (server.url.port, server.url.database) == (5433, "orders")


def test_libpqs_options_are_translated_for_the_driver() -> None:
    """An operator writes the URL that psql takes."""
    server = parse_database_url(
        "postgresql://db/orders?sslmode=require&application_name=shop&connect_timeout=3&host=/run/postgresql"
    )
    assert isinstance(server, PostgresqlServer)
    assert server.arguments == {"ssl": "require", "timeout": 3.0}
    assert server.settings == {"application_name": "shop"}
    assert dict(server.url.query) == {"host": "/run/postgresql"}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "no database address"),
        ("orders.sqlite3", "no database address"),
        ("postgresql://db:port/orders", "no database address"),
        ("mysql://db/orders", "names 'mysql', which is not supported"),
        ("postgresql+psycopg://db/orders", "the framework picks it, write postgresql://"),
        ("sqlite+aiosqlite:///x", "the framework picks it, write sqlite://"),
        ("sqlite:///file:x", "names no file"),
        ("sqlite:///file:x?mode=memory", "takes none"),
        ("sqlite://x.sqlite3", "three slashes"),
        ("postgresql://db", "names no database"),
        ("postgresql://db/orders?sslmode=maybe", "sslmode=maybe"),
        ("postgresql://db/orders?connect_timeout=soon", "connect_timeout=soon"),
        ("postgresql://db/orders?prepared=1", "'prepared', which is not known"),
    ],
)
def test_any_other_url_is_refused_with_the_variables_name_and_the_way_out(url: str, words: str) -> None:
    """One sentence for the operator."""
    with pytest.raises(InvalidConfiguration, match="EVENTBUS_DATABASE_URL") as raised:
        parse_database_url(url)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_refusal_never_shows_the_password() -> None:
    """Errors end up in logs."""
    for url in ("mysql://user:secret@db/orders", "postgresql://user:secret@db:port/orders"):
        with pytest.raises(InvalidConfiguration) as raised:
            parse_database_url(url)
        assert "secret" not in str(raised.value)
