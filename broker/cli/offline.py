"""Files that are read as they lie there, whatever they turn out to hold."""

from pathlib import Path

from broker.cli.refused import Refused

EXIT_DAMAGED = 1


def read_file(path: Path, *suffixes: str) -> bytes:
    """The content of *path*, whose name ends with one of *suffixes*. Raises Refused."""
    check_name(path, *suffixes)
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refused(f"{path}: {error.strerror or error}") from error


def check_name(path: Path, *suffixes: str) -> None:
    """Raises Refused for a name of another kind: the bytes of an index read as a segment mean nothing."""
    if not path.name.endswith(suffixes):
        raise Refused(f"{path}: expected a file whose name ends with {' or '.join(suffixes)}")
