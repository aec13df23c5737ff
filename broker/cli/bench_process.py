"""What a local server uses, from /proc."""

import os
import resource
from pathlib import Path

from broker.cli.refused import Refused

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_UTIME, _STIME = 11, 12  # counted from the field behind the name, which is in brackets


class ServerProcess:
    """One process of this machine. Raises Refused when it is not there."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        self.cpu_seconds()

    def cpu_seconds(self) -> float:
        """User and system time of all its threads since its start."""
        fields = self._read("stat").rpartition(")")[2].split()
        return (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS_PER_S

    def resident_megabytes(self) -> float:
        return int(self._read("statm").split()[1]) * resource.getpagesize() / 1e6

    def _read(self, name: str) -> str:
        try:
            return (self._folder / name).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise Refused(
                f"--pid {self._folder.name}: {error.strerror}; give the process of a server that runs here"
            ) from error
