"""`eventbus run`: a service without HTTP."""

import json
import logging
from importlib.util import find_spec
from typing import Annotated

import typer

from eventbus.cli.target import JsonOption, load_application

EXAMPLE = "Example: eventbus run payment_service.service:app"


def run(
    app: Annotated[str, typer.Argument(metavar="MODULE:ATTRIBUTE", help="The service's eventbus.Application.")],
    json: JsonOption = False,
) -> None:
    """
    Run a service without HTTP, until SIGTERM or SIGINT; with --json its log lines are JSON.

    Handlers in flight finish first, within EVENTBUS_SHUTDOWN_SECONDS; then the exit code is 0.
    """
    import anyio

    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter() if json else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)  # its inventory of plugins is nobody's news
    application = load_application(app)
    anyio.run(application.run, backend_options={"use_uvloop": find_spec("uvloop") is not None})


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message and, after an error, its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
