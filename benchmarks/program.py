"""A contestant in a process of its own, which keeps running between its turns; its side is answering.py."""

import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.case import Figures, Unsound

_ROOT = Path(__file__).resolve().parent.parent
_READY_SECONDS = 90.0


class Program:
    """`python -m MODULE '{"settings": …}'`. A turn that takes longer than *seconds_max* ends it."""

    def __init__(
        self,
        name: str,
        python: Path | str,
        module: str,
        settings: Mapping[str, object],
        *,
        seconds_max: float = 90.0,
    ) -> None:
        self.name = name
        self._seconds_max = seconds_max
        self._turn = 0
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        self._rest = b""
        self._process = subprocess.Popen(
            [str(python), "-m", module, json.dumps(settings)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        self._is_ready = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def ready(self) -> "Program":
        """Waits until it is. Raises RuntimeError with what it last said."""
        if not self._is_ready:
            answer = self._answer(max(_READY_SECONDS, self._seconds_max))
            if "ready" not in answer:
                raise RuntimeError(f"{self.name} did not start: {answer.get('failed')}\n{self._said()}")
            self._is_ready = True
        return self

    def run(self) -> Figures:
        self.ready()
        assert self._process.stdin is not None
        self._turn += 1
        self._process.stdin.write(json.dumps({"turn": self._turn}).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._answer(self._seconds_max)
        if "unsound" in answer:
            raise Unsound(str(answer["unsound"]))
        if "failed" in answer:
            raise RuntimeError(str(answer["failed"]))
        figures = answer["figures"]
        assert isinstance(figures, dict)
        return {str(name): float(value) for name, value in figures.items()}

    def close(self) -> None:
        if self._process.stdin is not None and not self._process.stdin.closed:
            try:
                self._process.stdin.close()
                self._process.wait(10)
            except (OSError, subprocess.TimeoutExpired):
                self._process.kill()
        self._process.wait(10)
        self._log.close()

    def _answer(self, seconds: float) -> dict[str, object]:
        assert self._process.stdout is not None
        end = time.monotonic() + seconds
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            if not select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
                self._process.kill()
                raise RuntimeError(f"{self.name} gave no answer in {seconds:.0f} s and was ended\n{self._said()}")
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                raise RuntimeError(f"{self.name} ended with {self._process.wait(10)}\n{self._said()}")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        found = json.loads(line)
        assert isinstance(found, dict)
        return found

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read()[-2000:].decode(errors="replace")
