"""`broker bench`: the same work on one address or two, in turns."""

import statistics
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence

from broker.cli.at import cluster_of
from broker.cli.bench_process import ServerProcess
from broker.cli.bench_streams import Lost, Streams
from broker.cli.cluster import Cluster
from broker.cli.output import JsonValue, print_json, print_line, print_note, print_table
from broker.cli.refused import Refused

EXIT_LOST = 1
_SETTLE_SECONDS = 1.0
_UNITS = {
    "produce_1kb": "MB/s",
    "produce_100b": "MB/s",
    "consume_1kb": "MB/s",
    "round_trip_p50": "µs",
    "round_trip_p99": "µs",
    "pipelined": "requests/s",
    "server_cpu": "s",
    "server_memory": "MB",
}
Figures = dict[str, float]


def bench(parsed: Namespace) -> int:
    repeat: int = parsed.repeat
    megabytes: int = parsed.megabytes
    warm_up: int = parsed.warm_up
    if repeat < 1 or megabytes < 1 or warm_up < 0:
        raise Refused("--repeat and --megabytes have to be 1 at least, --warm-up 0")
    servers = [_Server(parsed.bootstrap, parsed.pid)]
    if parsed.compare is not None:
        servers.append(_Server(parsed.compare, parsed.compare_pid))
    try:
        for turn in range(warm_up + repeat):
            # Who begins changes: what one leaves in the machine's caches is not always the other's.
            for server in servers if turn % 2 == 0 else reversed(servers):
                figures = server.measure(megabytes)
                if turn >= warm_up:
                    server.figures.append(figures)
            print_note(f"repetition {turn + 1} of {warm_up + repeat}{' (warm-up)' if turn < warm_up else ''}")
    except Lost as lost:
        print_note(f"broker bench: {lost}")
        return EXIT_LOST
    if parsed.json:
        print_json({"repeat": repeat, "megabytes": megabytes, "servers": [server.told() for server in servers]})
    else:
        _print(servers)
    return 0


class _Server:
    def __init__(self, bootstrap: str, pid: int | None) -> None:
        self.bootstrap = bootstrap
        self.figures: list[Figures] = []
        self._cluster: Cluster = cluster_of(Namespace(bootstrap=bootstrap, client=[]))
        self._process = None if pid is None else ServerProcess(pid)

    def measure(self, megabytes: int) -> Figures:
        """One repetition, with topics of its own. Raises Lost."""
        streams = Streams(self._cluster, megabytes)
        cpu = 0.0 if self._process is None else self._process.cpu_seconds()
        try:
            figures = {
                "produce_1kb": streams.produce(1024),
                "consume_1kb": streams.consume(1024),
                "produce_100b": streams.produce(100),
            }
            trips = streams.round_trips()
            figures["round_trip_p50"] = statistics.median(trips)
            figures["round_trip_p99"] = statistics.quantiles(trips, n=100)[98]
            figures["pipelined"] = streams.pipelined()
            if self._process is not None:
                figures["server_cpu"] = self._process.cpu_seconds() - cpu
                figures["server_memory"] = self._process.resident_megabytes()
            streams.verify()
        finally:
            streams.delete()
            # The files of these topics are being removed: that is not the next one's work.
            time.sleep(_SETTLE_SECONDS)
        return {name: figures[name] for name in _UNITS if name in figures}

    def told(self) -> dict[str, JsonValue]:
        return {
            "address": self.bootstrap,
            "medians": self.medians(),
            "repetitions": [{name: round(value, 3) for name, value in each.items()} for each in self.figures],
        }

    def medians(self) -> dict[str, float]:
        return {name: round(statistics.median(self.all_of(name)), 3) for name in self.figures[0]}

    def all_of(self, name: str) -> Sequence[float]:
        return [each[name] for each in self.figures]


def _print(servers: Sequence[_Server]) -> None:
    rows: list[Mapping[str, JsonValue]] = []
    for name, unit in _UNITS.items():
        if not all(name in server.figures[0] for server in servers):
            continue
        row: dict[str, JsonValue] = {"": f"{name.replace('_', ' ')} ({unit})"}
        for server in servers:
            values = server.all_of(name)
            row[server.bootstrap] = (
                f"{_short(server.medians()[name])}  ({_short(min(values))} to {_short(max(values))})"
            )
        if len(servers) == 2:
            row["ratio"] = servers[0].medians()[name] / servers[1].medians()[name]
        rows.append(row)
    print_table(rows)
    print_line(f"medians of {len(servers[0].figures)} repetitions (least to most); nothing was lost or doubled")


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
