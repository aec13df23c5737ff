"""
What one event costs each part, in microseconds of a processor; `python -m benchmarks.scale.measurement` finds it out.

costs.json beside this file has the figures with the day, the commit, the machine and the load beside them. Another
machine's are taken with the same command; the page is then written anew with `python -m benchmarks.scale`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

FILE: Final = Path(__file__).with_name("costs.json")


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of the service's process, of all of PostgreSQL's and of the broker's, for one event."""

    service_us: float
    database_us: float
    log_us: float = 0.0


@dataclass(frozen=True, slots=True)
class Costs:
    """
    command              load some ten events, decide, append one with its outbox row; 64 callers
    transaction          what a transaction costs beside its events: such a command alone, less one of many
    relay                a row of a full outbox, into the log and deleted
    handling             an event with an inbox row, of a handler that costs nothing
    view                 an event of a view that catches up
    decoding             an event of a loop that reads and decodes and does nothing else
    rebuild              an event of a rebuild beside the live view
    sync_us              one `fdatasync` of a small file
    log_transaction_us   begin, one record, commit: on a log that syncs before it answers
    cluster_factor       what Apache Kafka uses for a record for what `broker` does (`broker.produce.1kb-acksall`)
    """

    command: Cost
    transaction: Cost
    relay: Cost
    handling: Cost
    view: Cost
    decoding: Cost
    rebuild: Cost
    sync_us: float
    log_transaction_us: float
    cluster_factor: float

    @property
    def read_log_us(self) -> float:
        """What the log uses for an event that is read."""
        return self.decoding.log_us


@dataclass(frozen=True, slots=True)
class Measured:
    """The costs, and a sentence on where they come from; `rebuild_rate` is what was seen, to hold the model against."""

    costs: Costs
    source: str
    rebuild_rate: float


def load(file: Path = FILE) -> Measured:
    """Reads the file."""
    found: Mapping[str, object] = json.loads(file.read_text(encoding="utf-8"))

    def cost(name: str) -> Cost:
        given = cast("Mapping[str, float]", found[name])
        return Cost(given["service_us"], given["database_us"], given.get("log_us", 0.0))

    def figure(name: str) -> float:
        return cast("float", found[name])

    return Measured(
        Costs(
            command=cost("command"),
            transaction=cost("transaction"),
            relay=cost("relay"),
            handling=cost("handling"),
            view=cost("view"),
            decoding=cost("decoding"),
            rebuild=cost("rebuild"),
            sync_us=figure("sync_us"),
            log_transaction_us=figure("log_transaction_us"),
            cluster_factor=figure("cluster_factor"),
        ),
        str(found["source"]),
        figure("rebuild_rate"),
    )
