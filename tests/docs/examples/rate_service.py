"""A service with middleware: docs/how-to/write-a-middleware.md."""

from eventbus import Application
from eventbus.bus import logged, timed
from tests.docs.examples import rates
from tests.docs.examples.middleware import OpeningHours, Remembered, audited, only_when_open


def rate_service(hours: OpeningHours, database_url: str) -> Application:
    return Application(
        "rate-service",
        modules=[rates],
        provide=[hours],
        middleware=[timed, logged(slow_seconds=0.5), only_when_open, audited, Remembered(seconds=60)],
        database_url=database_url,
    )
