"""`eventbus dead-letters retry|discard`."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from eventbus.cli.letter_rows import print_letters
from eventbus.cli.letter_selection import (
    AfterOption,
    AllOption,
    BeforeOption,
    ConsumerOption,
    ErrorOption,
    HandlerOption,
    IdsArgument,
    KeyOption,
    TopicOption,
    TypeOption,
    letter_filter,
    require_chosen,
)
from eventbus.cli.output import print_json, print_line
from eventbus.cli.target import AppOption, DatabaseOption, JsonOption, ServiceOption, open_database
from eventbus.errors import InvalidConfiguration

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from eventbus.database import Database, LetterFilter

    Change = Callable[[AsyncConnection, Sequence[str]], Awaitable[int]]

_AT_ONCE: Final = 500
_SHOWN_MAX: Final = 20

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]


def retry(
    ids: IdsArgument = None,
    handler: HandlerOption = None,
    event_type: TypeOption = None,
    topic: TopicOption = None,
    key: KeyOption = None,
    error: ErrorOption = None,
    before: BeforeOption = None,
    after: AfterOption = None,
    consumer: ConsumerOption = None,
    every: AllOption = False,
    dry_run: DryRunOption = False,
    app: AppOption = None,
    database: DatabaseOption = None,
    service: ServiceOption = None,
    json: JsonOption = False,
) -> None:
    """
    Have dead letters handled again by the running service, or by the next one that starts.

    The events that wait behind a letter of their key follow when it has been handled. One that fails again stays, with
    the new error. What a projection could not apply is mended by `eventbus projections rebuild`.
    """
    import anyio

    from eventbus.clock import SystemClock
    from eventbus.database import LetterRetries

    which = letter_filter(
        ids=ids,
        consumer=consumer,
        handler=handler,
        event_type=event_type,
        topic=topic,
        key=key,
        error=error,
        before=before,
        after=after,
    )
    require_chosen(which, every)

    async def request(connection: "AsyncConnection", letter_ids: Sequence[str]) -> int:
        return await LetterRetries().request(connection, letter_ids, SystemClock().now())

    async def work() -> None:
        async with open_database(app, database, service) as opened:
            chosen, projected = await _chosen(opened, which, of_projections=False)
            if dry_run:
                await _show_dry_run(opened, chosen, json, "would be handled again")
                return
            done = await _changed(opened, chosen, request, "asking")
        if json:
            print_json({"requested": done, "of_projections": projected})
            return
        print_line(f"{done} will be handled again by the service; `eventbus dead-letters list` tells what is left")
        if projected:
            print_line(f"{projected} are a projection's: mend it, and `eventbus projections rebuild` it")

    anyio.run(work)


def discard(
    ids: IdsArgument = None,
    handler: HandlerOption = None,
    event_type: TypeOption = None,
    topic: TopicOption = None,
    key: KeyOption = None,
    error: ErrorOption = None,
    before: BeforeOption = None,
    after: AfterOption = None,
    consumer: ConsumerOption = None,
    every: AllOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this it only shows what would be done.")] = False,
    dry_run: DryRunOption = False,
    app: AppOption = None,
    database: DatabaseOption = None,
    service: ServiceOption = None,
    json: JsonOption = False,
) -> None:
    """
    Throw dead letters away: their events are never handled. What waits behind one of them is handled next.

    Needs --yes; without it, or with --dry-run, it only shows which.
    """
    import anyio

    from eventbus.database import LetterRetries

    which = letter_filter(
        ids=ids,
        consumer=consumer,
        handler=handler,
        event_type=event_type,
        topic=topic,
        key=key,
        error=error,
        before=before,
        after=after,
    )
    require_chosen(which, every)

    async def work() -> None:
        async with open_database(app, database, service) as opened:
            chosen, _ = await _chosen(opened, which, of_projections=True)
            if dry_run or not yes:
                await _show_dry_run(
                    opened, chosen, json, "would be discarded" + ("" if yes else "; add --yes to do it")
                )
                return
            done = await _changed(opened, chosen, LetterRetries().remove, "discarding")
        if json:
            print_json({"discarded": done})
        else:
            print_line(f"{done} discarded")

    anyio.run(work)


async def _chosen(opened: "Database", which: "LetterFilter", *, of_projections: bool) -> tuple[Sequence[str], int]:
    """The ids of these letters; and how many were left out, as they are those of a projection."""
    from eventbus.database import DeadLetters

    async with opened.reading() as connection:
        found = await DeadLetters().ids(connection, which)
        left_out = set[str]() if of_projections else set(await DeadLetters().ids_of_projections(connection, which))
    if which.ids is not None:
        if missing := set(which.ids) - set(found):
            raise InvalidConfiguration(f"No dead letters, or not so any more: {', '.join(sorted(missing))}.")
        if left_out:
            raise InvalidConfiguration(
                f"A projection's, to be mended by `eventbus projections rebuild`: {', '.join(sorted(left_out))}."
            )
    return [id for id in found if id not in left_out], len(left_out)


async def _show_dry_run(opened: "Database", chosen: Sequence[str], json: bool, words: str) -> None:
    from eventbus.database import DeadLetters, LetterFilter

    if json:
        print_json({"dry_run": True, "letters": list(chosen)})
        return
    async with opened.reading() as connection:
        shown = await DeadLetters().list(connection, LetterFilter(ids=chosen[:_SHOWN_MAX]), limit=_SHOWN_MAX)
        waiting = await DeadLetters().waiting(connection, [letter.id for letter in shown])
    print_letters(shown, waiting)
    if len(chosen) > len(shown):
        print_line(f"… and {len(chosen) - len(shown)} more")
    print_line(f"{len(chosen)} {words}")


async def _changed(opened: "Database", chosen: Sequence[str], change: "Change", words: str) -> int:
    """Changes them some at a time, with a bar where somebody looks; how many there still were."""
    from rich.progress import Progress

    done = 0
    with Progress(transient=True, disable=len(chosen) <= _AT_ONCE) as progress:
        bar = progress.add_task(words, total=len(chosen))
        for first in range(0, len(chosen), _AT_ONCE):
            some = chosen[first : first + _AT_ONCE]
            async with opened.transaction() as connection:
                done += await change(connection, some)
            progress.advance(bar, len(some))
    return done
