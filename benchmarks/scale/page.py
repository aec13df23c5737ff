"""
The simulation's tables in docs/scale.md, each between `<!-- simulated: NAME -->` and `<!-- simulated -->`, and their
picture.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

from benchmarks.scale.capacity import Limit, ladder, limit
from benchmarks.scale.costs import Cost, Measured, load
from benchmarks.scale.layout import Layout
from benchmarks.scale.rebuild import rebuild
from benchmarks.scale.service import AT_ONCE

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "scale.md"
PICTURE: Final = PAGE.parent / "pictures" / "scale.svg"
UNTIL: Final = 25_000.0
EVENTS: Final = 1e9
# Where nothing else ends before the handlers' waiting, or the slots, do.
_ROOMY: Final = Layout(
    instances=16, partitions=16, database_cores=64, view_databases=4, log_cores=48, replicas=3, slots=4
)
_BLOCK: Final = re.compile(r"<!-- simulated: (?P<name>\w+) -->\n(?P<text>.*?)<!-- simulated -->\n", re.DOTALL)


def rewritten(text: str) -> str:
    """The page with every table as the simulation gives it now."""
    return _BLOCK.sub(
        lambda found: f"<!-- simulated: {found['name']} -->\n{TABLES[found['name']]()}<!-- simulated -->\n", text
    )


@cache
def measured() -> Measured:
    """The costs of costs.json."""
    return load()


@cache
def steps() -> Sequence[tuple[Limit, str]]:
    """The ladder."""
    return tuple(ladder(measured().costs, UNTIL))


def costs_table() -> str:
    costs = measured().costs
    rows: Mapping[str, Cost] = {
        "a command: load some ten events, decide, append one, with its outbox row (64 callers)": costs.command,
        "a transaction, beside its events": costs.transaction,
        "a row of the outbox into the log": costs.relay,
        "an event handled, with its inbox row": costs.handling,
        "an event of a view": costs.view,
        "an event read and decoded, nothing else": costs.decoding,
        "an event of a rebuild": costs.rebuild,
    }
    return _table(
        ("µs of a processor", "the service", "PostgreSQL", "the broker"),
        [(name, _us(cost.service_us), _us(cost.database_us), _us(cost.log_us)) for name, cost in rows.items()],
    ) + (
        f"\nMeasured {measured().source}. A sync of the disk takes {costs.sync_us:.0f} µs, a transaction of the log "
        f"with one record {costs.log_transaction_us / 1000:.1f} ms; Apache Kafka uses {costs.cluster_factor:g} times "
        "the processor that the broker does for a record (`broker.produce.1kb-acksall`), once for each copy.\n"
    )


def ladder_table(found: Iterable[tuple[Limit, str]] | None = None) -> str:
    """Of all steps, or of those that are given."""
    return _table(
        ("", "holds, events/s", "p50, p99 at ¾ of it", "transactions at once", "ends first", "then"),
        [
            (
                _layout(one.layout),
                f"{one.load:,.0f}",
                f"{one.usual.p50:.0f}, {one.usual.p99:.0f} ms",
                str(one.usual.connections),
                one.ends,
                words,
            )
            for one, words in (steps() if found is None else found)
        ],
    )


def busy_table() -> str:
    """How busy each part is where a layout ends."""
    names = list(dict.fromkeys(name for found, _ in steps() for name in found.busy))
    return _table(
        ("at the end of", *(f"{found.load:,.0f}" for found, _ in steps())),
        [
            (name, *(f"{min(1.0, found.busy[name]):.0%}" if name in found.busy else "" for found, _ in steps()))
            for name in names
        ],
    )


def waiting_table() -> str:
    """What handlers that wait for something hold, by partitions and instances."""
    waits = (0.001, 0.01)
    rows: list[tuple[str, ...]] = []
    for instances, partitions in ((1, 12), (4, 12), (4, 48), (12, 48)):
        found: list[Limit] = []
        for wait in waits:
            layout = replace(_ROOMY, instances=instances, partitions=partitions, handler_seconds=wait)
            likely = min(AT_ONCE * instances, partitions) / wait
            found.append(limit(layout, measured().costs, 0.4 * likely))
        told = (f"{each.load:,.0f}, {each.ends}" for each in found)
        rows.append((_many(instances, "instance", "instances") + f", {partitions} partitions", *told))
    return _table(("events/s, by what the handler waits", *(f"{1000 * wait:g} ms" for wait in waits)), rows)


def slots_table() -> str:
    """What the relay holds by its slots, where nothing else ends before."""
    slots = (1, 2, 4)
    found = [limit(replace(_ROOMY, slots=count), measured().costs, 2000.0 * count) for count in slots]
    return _table(
        ("slots", *map(str, slots)),
        [
            ("events/s", *(f"{each.load:,.0f}" for each in found)),
            ("ends first", *(each.ends for each in found)),
        ],
    )


def rebuild_table() -> str:
    """Hours for 10^9 events by shards, alone and beside the half of what one service holds."""
    shards, costs = (1, 2, 4, 8), measured().costs
    half = max(found.load for found, _ in steps() if found.layout.services == 1) / 2
    rows: list[tuple[str, ...]] = []
    for words, load_beside in (("alone", 0.0), (f"beside {half:,.0f} events/s", half)):
        found = [
            rebuild(costs, count, load_beside, replace(_ROOMY, database_cores=4, view_databases=count))
            for count in shards
        ]
        rows.append((words, *(f"{each.rate:,.0f}/s, {each.hours(EVENTS):.1f} h" for each in found)))
    told = f"\nWhat was measured of one, beside its live view: {measured().rebuild_rate:,.0f}/s.\n"
    return _table(("a rebuild of 10⁹ events, in shards", *map(str, shards)), rows) + told


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "costs": costs_table,
    "ladder": ladder_table,
    "busy": busy_table,
    "waiting": waiting_table,
    "slots": slots_table,
    "rebuild": rebuild_table,
}


def draw(file: Path = PICTURE) -> None:
    """The ladder, from the top down: what each layout holds, and what ends it."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(
        {"svg.hashsalt": "eventbus", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure = Figure(figsize=(9.5, 0.55 + 0.42 * len(steps())), layout="constrained")
        axes = figure.add_subplot()
        for place, (found, _) in enumerate(reversed(steps())):
            axes.barh(place, found.load, color="#1f6f8b", height=0.6)
            axes.text(found.load, place, f"  {found.load:,.0f}: {found.ends}", va="center", fontsize=8)
        axes.set_yticks(range(len(steps())), [_layout(found.layout) for found, _ in reversed(steps())], fontsize=7)
        axes.set_xscale("log")
        axes.set_xlim(100, steps()[-1][0].load * 12)
        axes.set_xlabel("events a second that it holds, and what ends first", fontsize=8)
        figure.savefig(file, metadata={"Date": None})


def _layout(layout: Layout) -> str:
    log = "embedded broker" if layout.replicas == 1 else f"Apache Kafka, {layout.log_cores} cores"
    view = "" if not layout.view_databases else f", view in {_many(layout.view_databases, 'database', 'databases')}"
    services = "" if layout.services == 1 else f"{layout.services} services of "
    return f"{services}{_many(layout.instances, 'instance', 'instances')}, {layout.partitions} partitions, {log}{view}"


def _many(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def _us(value: float) -> str:
    return f"{value:.1f}" if value else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"
