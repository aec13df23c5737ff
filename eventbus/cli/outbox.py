"""`eventbus outbox`: what is committed and not in the log yet."""

import typer

from eventbus.cli.output import JsonValue, print_json, print_line, print_table, time_text
from eventbus.cli.target import AppOption, DatabaseOption, JsonOption, ServiceOption, open_database

app = typer.Typer(help="Events that are committed and not in the log yet.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def outbox() -> None:
    """Events that are committed and not in the log yet."""


@app.command(epilog="Example: eventbus outbox status --app order_service.service:app")
def status(
    app: AppOption = None, database: DatabaseOption = None, service: ServiceOption = None, json: JsonOption = False
) -> None:
    """Show how many rows wait for the relay, the age of the oldest, and which process holds which slot."""
    import anyio

    from eventbus.database import Outbox

    async def work() -> None:
        async with open_database(app, database, service) as opened, opened.reading() as connection:
            found = await Outbox().status(connection)
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
            print_json({"rows": found.rows, "oldest_age_seconds": found.oldest_age_seconds, "slots": slots})
            return
        waiting = f"{found.rows} waiting, the oldest for {found.oldest_age_seconds:.1f} s"
        print_line(waiting if found.rows else "nothing is waiting")
        print_table(slots, empty="no relay has run here yet")

    anyio.run(work)
