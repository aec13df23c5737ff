"""`eventbus outbox`: what is committed and not in the log yet."""

from typing import TYPE_CHECKING, Annotated

import typer

from eventbus.cli.output import JsonValue, print_json, print_line, print_table, time_text
from eventbus.cli.target import AppOption, DatabaseOption, JsonOption, ServiceOption, open_database

if TYPE_CHECKING:
    from eventbus.database import WaitingKey

_REASON_CHARACTERS_MAX = 100

EventIds = Annotated[list[str] | None, typer.Argument(metavar="EVENT_ID", help="As `blocked` shows it.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every blocked row.")]

app = typer.Typer(help="Events that are committed and not in the log yet.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def outbox() -> None:
    """Events that are committed and not in the log yet."""


@app.command(epilog="Example: eventbus outbox status --app order_service.service:app")
def status(
    app: AppOption = None, database: DatabaseOption = None, service: ServiceOption = None, json: JsonOption = False
) -> None:
    """Show how many rows wait for the relay, the age of the oldest, what is blocked, and who holds which slot."""
    import anyio

    from eventbus.database import BlockedRows, Outbox

    async def work() -> None:
        async with open_database(app, database, service) as opened, opened.reading() as connection:
            found = await Outbox().status(connection)
            blocked = await BlockedRows().list(connection)
        slots: list[dict[str, JsonValue]] = [
            {
                "slot": slot.slot,
                "rows": slot.rows,
                "holder": slot.holder,
                "lease_epoch": slot.lease_epoch,
                "expires_at": time_text(slot.expires_at),
            }
            for slot in found.slots
        ]
        if json:
            print_json(
                {
                    "rows": found.rows,
                    "oldest_age_seconds": found.oldest_age_seconds,
                    "blocked": [_blocked(one) for one in blocked],
                    "slots": slots,
                }
            )
            return
        waiting = f"{found.rows} waiting, the oldest for {found.oldest_age_seconds:.1f} s"
        print_line(waiting if found.rows else "nothing is waiting")
        if blocked:
            print_line(
                f"{len(blocked)} blocked, {sum(one.rows for one in blocked)} rows wait there: eventbus outbox blocked"
            )
        print_table(slots, empty="no relay has run here yet")

    anyio.run(work)


@app.command("blocked", epilog="Example: eventbus outbox blocked --service order-service --json")
def list_blocked(
    app: AppOption = None, database: DatabaseOption = None, service: ServiceOption = None, json: JsonOption = False
) -> None:
    """List the rows that the log refuses, why, and how many rows wait behind each."""
    import anyio

    from eventbus.database import BlockedRows

    async def work() -> None:
        async with open_database(app, database, service) as opened, opened.reading() as connection:
            found = await BlockedRows().list(connection)
        if json:
            print_json([_blocked(one) for one in found])
            return
        print_table(
            [_blocked(one) | {"reason": _short(one.blocked.reason)} for one in found], empty="nothing is blocked"
        )

    anyio.run(work)


@app.command(epilog="Example: eventbus outbox retry --all --service order-service")
def retry(
    event_ids: EventIds = None,
    all_rows: AllOption = False,
    app: AppOption = None,
    database: DatabaseOption = None,
    service: ServiceOption = None,
) -> None:
    """Have blocked rows tried again at once, when what refused them has been mended."""
    import anyio

    from eventbus.clock import SystemClock
    from eventbus.database import BlockedRows

    async def work() -> None:
        async with open_database(app, database, service) as opened, opened.transaction() as connection:
            found = _chosen(await BlockedRows().list(connection, event_ids or ()), event_ids, all_rows)
            await BlockedRows().retry(connection, [one.blocked.sequence for one in found], SystemClock().now())
        print_line(f"{len(found)} will be tried again by the relay that holds them; `eventbus outbox blocked` tells")

    anyio.run(work)


@app.command(epilog="Example: eventbus outbox discard 0197c9f2-… --service order-service --yes")
def discard(
    event_ids: EventIds = None,
    all_rows: AllOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this it only shows what would be done.")] = False,
    app: AppOption = None,
    database: DatabaseOption = None,
    service: ServiceOption = None,
) -> None:
    """Take blocked rows out of the outbox for good: these events are never published, what waits behind them is."""
    import anyio

    from eventbus.database import BlockedRows

    async def work() -> None:
        async with open_database(app, database, service) as opened, opened.transaction() as connection:
            found = _chosen(await BlockedRows().list(connection, event_ids or ()), event_ids, all_rows)
            if yes:
                await BlockedRows().discard(connection, [one.blocked.sequence for one in found])
        print_table(
            [_blocked(one) | {"reason": _short(one.blocked.reason)} for one in found], empty="nothing is blocked"
        )
        print_line(f"{len(found)} discarded" if yes else f"{len(found)} would be discarded; add --yes to do it")

    anyio.run(work)


def _chosen(found: "list[WaitingKey]", event_ids: list[str] | None, all_rows: bool) -> "list[WaitingKey]":
    from eventbus.errors import InvalidConfiguration

    if bool(event_ids) == all_rows:
        raise InvalidConfiguration("Name the events (`eventbus outbox blocked` lists them), or give --all.")
    missing = set(event_ids or ()) - {one.blocked.event_id for one in found}
    if missing:
        raise InvalidConfiguration(f"Not blocked, or not in the outbox any more: {', '.join(sorted(missing))}.")
    return found


def _blocked(one: "WaitingKey") -> dict[str, JsonValue]:
    row = one.blocked
    return {
        "event_id": row.event_id,
        "type": row.type,
        "topic": row.topic,
        "key": row.key,
        "rows_waiting": one.rows,
        "attempts": row.attempts,
        "blocked_at": time_text(row.blocked_at),
        "reason": row.reason,
    }


def _short(reason: str) -> str:
    return reason if len(reason) <= _REASON_CHARACTERS_MAX else f"{reason[:_REASON_CHARACTERS_MAX]}…"
