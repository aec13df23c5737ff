"""A rebuild on the terminal: a bar with rate and time left, or a line of JSON a step."""

import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypedDict

from eventbus.cli.output import print_json, print_line
from eventbus.errors import InvalidConfiguration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from eventbus.application import Application
    from eventbus.projections import AnyProjection, Rebuild, RebuildProgress, RebuildResult, Rollback
    from eventbus.transport import Transport

    Progressed = Callable[[RebuildProgress], None]

_JSON_EVERY_SECONDS: Final = 0.5


class RebuildOptions(TypedDict, total=False):
    """What a rebuild is told, as `eventbus.projections.Rebuild` has it."""

    switch: bool
    built_only: bool
    from_store: bool
    restart: bool
    skip_dead_letters: bool


async def rebuild_projection(application: "Application", name: str, options: RebuildOptions, json: bool) -> None:
    """Rebuilds and shows it. Raises InvalidConfiguration for an unknown name; what a Rebuild raises."""
    from eventbus.projections import Rebuild

    projection = _find(application, name)

    def work(transport: "Transport", progress: "Progressed") -> Rebuild:
        return Rebuild(
            projection,
            database=application.database,
            transport=transport,
            types=application.model.types,
            topics=application.model.topics,
            progress=progress,
            clock=application.clock,
            **options,
        )

    await _show(application, name, work, json)


async def roll_back_projection(
    application: "Application", name: str, generation: int | None, behind: bool, json: bool
) -> None:
    """Goes back and shows it. Raises InvalidConfiguration for an unknown name; what a Rollback raises."""
    from eventbus.projections import Rollback

    projection = _find(application, name)

    def work(transport: "Transport", progress: "Progressed") -> Rollback:
        return Rollback(
            projection,
            database=application.database,
            transport=transport,
            types=application.model.types,
            generation=generation,
            behind=behind,
            progress=progress,
            clock=application.clock,
        )

    await _show(application, name, work, json)


async def _show(
    application: "Application",
    name: str,
    work: "Callable[[Transport, Progressed], Rebuild | Rollback]",
    json: bool,
) -> None:
    from eventbus.database import Migrations

    async with application.connected() as connection:
        await Migrations(application.database).check()
        if json:
            _print_result(await work(connection.transport, JsonSteps()).run())
            return
        with ProgressBar(name) as bar:
            result = await work(connection.transport, bar).run()
        print_line(words(result))


class JsonSteps:
    """Prints progress as JSON, at most twice a second and at each change of the phase."""

    def __init__(self) -> None:
        self._phase: str | None = None
        self._printed_at = 0.0

    def __call__(self, progress: "RebuildProgress") -> None:
        now = time.monotonic()
        if progress.phase == self._phase and now - self._printed_at < _JSON_EVERY_SECONDS:
            return
        self._phase, self._printed_at = progress.phase, now
        left = progress.seconds_left
        print_json(
            {
                "projection": progress.projection,
                "generation": progress.generation,
                "phase": progress.phase,
                "done": progress.done,
                "total": progress.total,
                "per_second": round(progress.per_second),
                "seconds_left": None if left is None else round(left, 1),
            }
        )


class ProgressBar:
    """
    How far it is, how fast it goes and how long it will take, on one line; a context manager.

    console   where to; standard output without it
    """

    def __init__(self, name: str, console: "Console | None" = None) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._name = name
        self._task: TaskID | None = None
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
            TextColumn("{task.fields[rate]:,.0f}/s"),
            TextColumn("{task.fields[left]}"),
            console=console,
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, progress: "RebuildProgress") -> None:
        description = f"{self._name} generation {progress.generation}: {progress.phase}"
        if self._task is None:
            self._task = self._bar.add_task(description, total=progress.total, rate=0.0, left="")
        self._bar.update(
            self._task,
            description=description,
            completed=progress.done,
            total=progress.total,
            rate=progress.per_second,
            left=_left(progress.seconds_left),
        )


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"


def words(result: "RebuildResult") -> str:
    """A finished rebuild in a sentence or two."""
    rows = "; ".join(
        f"{table.table}: {table.new_rows} rows"
        + ("" if table.live_rows is None or result.rows_compared else f" ({table.live_rows} before)")
        for table in result.tables
    )
    offset = sum(result.positions.values())
    if not result.switched:
        return (
            f"{result.projection}: generation {result.generation} (version {result.version}) is built, after "
            f"{result.seconds:.1f} s, up to offset {offset}. {rows}. The live one is live as before: `eventbus "
            f"projections switch {result.projection}` makes this one live."
        )
    agreed = "equal to the ones before, row by row" if result.rows_compared else "not comparable with the ones before"
    again = ", gone on with after an interruption" if result.resumed else ""
    return (
        f"{result.projection}: generation {result.generation} (version {result.version}) is live{again}, after "
        f"{result.seconds:.1f} s, at offset {offset}. {rows + '; ' if rows else ''}{agreed}. "
        "The generation before is kept."
    )


def _print_result(result: "RebuildResult") -> None:
    print_json(
        {
            "projection": result.projection,
            "generation": result.generation,
            "version": result.version,
            "resumed": result.resumed,
            "switched": result.switched,
            "rows_compared": result.rows_compared,
            "tables": [
                {"table": table.table, "live_rows": table.live_rows, "new_rows": table.new_rows}
                for table in result.tables
            ],
            "offset": sum(result.positions.values()),
            "seconds": round(result.seconds, 3),
        }
    )


def _find(application: "Application", name: str) -> "type[AnyProjection]":
    known = {projection.projection_name: projection for projection in application.projections}
    if name not in known:
        raise InvalidConfiguration(
            f"{application.name} has no projection {name!r}; it has {', '.join(sorted(known)) or 'none'}."
        )
    return known[name]
