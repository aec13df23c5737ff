"""Tells whoever started the broker where it listens: a JSON file that is there whole or not at all."""

import json
import os
from pathlib import Path


def write_ready_file(path: Path, *, host: str, port: int, pid: int, metrics_port: int | None = None) -> None:
    """
    Writes {"host", "port", "pid"}, and "metrics_port" where there is one, beside *path* and renames it there. Raises
    OSError, which names *path*.
    """
    ready = {"host": host, "port": port, "pid": pid}
    if metrics_port is not None:
        ready["metrics_port"] = metrics_port
    beside = path.with_name(f".{path.name}.{pid}")
    try:
        beside.write_text(json.dumps(ready) + "\n", encoding="utf-8")
        os.replace(beside, path)  # noqa: PTH105  # Path.replace is the same; os.replace says atomic
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def remove_ready_file(path: Path, pid: int) -> None:
    """Takes the file away at the end, unless another broker has written it since."""
    try:
        if json.loads(path.read_text(encoding="utf-8")).get("pid") == pid:
            path.unlink()
    except (OSError, ValueError, AttributeError):
        return
