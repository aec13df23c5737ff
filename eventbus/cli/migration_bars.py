"""The steps of a move on the terminal: a bar with rate and time left; in a pipe, a line a step on standard error."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_EVERY_SECONDS: Final = 2.0


class MigrationBars:
    """A context manager; standard output stays free for the result."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(show_speed=True),
                TimeRemainingColumn(),
                TextColumn("{task.fields[waits]}"),
                console=Console(stderr=True),
            )
            self._progress.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def step(self, name: str, total: int) -> "_Bar | _Lines":
        """The next step."""
        if self._progress is None:
            return _Lines(name, total)
        return _Bar(self._progress, self._progress.add_task(name, total=total or None, visible=total > 0, waits=""))


class _Bar:
    def __init__(self, progress: "Progress", task: "TaskID") -> None:
        self._progress, self._task = progress, task

    def advance(self, count: int) -> None:
        self._progress.update(self._task, advance=count, waits="")

    def say(self, text: str) -> None:
        self._progress.update(self._task, visible=True, waits=text)


class _Lines:
    def __init__(self, name: str, total: int) -> None:
        self._name, self._total = name, total
        self._done, self._began = 0, time.monotonic()
        self._next = self._began + _EVERY_SECONDS
        self._said = ""

    def advance(self, count: int) -> None:
        self._done += count
        if (now := time.monotonic()) >= self._next and self._done:
            self._next = now + _EVERY_SECONDS
            left = max(0, self._total - self._done) * (now - self._began) / self._done
            sys.stderr.write(f"{self._name}: {self._done} of {self._total}, {left:.0f} s left\n")
            sys.stderr.flush()

    def say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            sys.stderr.write(f"{self._name}: {text}\n")
            sys.stderr.flush()
