"""Every case, in the order in which they are run: what carries most comes first, should time run out."""

from typing import Final

from benchmarks.case import Case
from benchmarks.cases import (
    broker_life,
    broker_requests,
    broker_streams,
    framework,
    growth,
    http_services,
    instances,
    limits,
)

CASES: Final[tuple[Case, ...]] = (
    *limits.CASES,
    *broker_streams.CASES,
    *broker_requests.CASES,
    *broker_life.CASES,
    *framework.CASES,
    *http_services.CASES,
    *broker_life.LARGE_CASES,
    *growth.CASES,
    *instances.CASES,
)
