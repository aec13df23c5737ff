"""`eventbus messages`: what an application says, kept as files that a test can hold it to."""

from pathlib import Path
from typing import Annotated

import typer

from eventbus.cli.output import print_json, print_line
from eventbus.cli.target import AppOption, JsonOption, load_application

app = typer.Typer(help="The events that an application writes and reads.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def messages() -> None:
    """The events that an application writes and reads."""


@app.command(epilog="Example: eventbus messages snapshot --app order_service.service:app --to tests/messages")
def snapshot(
    app: AppOption = None,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Where the samples are.")] = Path("tests/messages"),
    json: JsonOption = False,
) -> None:
    """
    Write one sample of each event and version that has none yet; a file that is there is never changed.

    Commit them: eventbus.testing.check_samples fails when a later change can no longer read one.
    """
    from eventbus.serialization import SampleDirectory

    model = load_application(app).model
    done = SampleDirectory(to, model.types, model.named_events).write()
    if json:
        print_json({"written": [str(path) for path in done.written], "kept": [str(path) for path in done.kept]})
        return
    for path in done.written:
        print_line(f"written {path}")
    print_line(f"{len(done.written)} written, {len(done.kept)} kept in {to}")
