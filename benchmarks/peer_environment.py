"""
The frameworks that are measured beside ours live in `.bench`, a virtual environment of their own: their pins are not
ours. `benchmarks/peers/requirements.txt` has the versions that the figures were made with.
"""

import subprocess
import sys
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_FOLDER = _ROOT / ".bench"
_REQUIREMENTS = Path(__file__).resolve().parent / "peers" / "requirements.txt"


@cache
def peer_python() -> Path:
    """The environment's interpreter; the environment is made when it is not there or has other versions."""
    python, complete = _FOLDER / "bin" / "python", _FOLDER / "complete"
    wanted = _REQUIREMENTS.read_text(encoding="utf-8")
    if not complete.exists() or complete.read_text(encoding="utf-8") != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(_FOLDER)], check=True, timeout=120)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]
        subprocess.run([*install, str(_REQUIREMENTS)], check=True, timeout=600)
        complete.write_text(wanted, encoding="utf-8")
    return python


def peer_versions() -> dict[str, str]:
    """Package and version of each peer."""
    lines = _REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    pinned = [line.partition("==") for line in lines if "==" in line and not line.startswith("#")]
    return {f"peer {name.partition('[')[0]}": number for name, _, number in pinned}
