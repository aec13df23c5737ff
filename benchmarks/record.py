"""
The results file: benchmarks/results/<date>.json, written again after every case, so that a run that ends early has
left what it measured.

Shape
    date mode seconds        when, how much, and how long it took so far
    machine versions commit  what it ran on
    cases[]                  name title group measures[] ours note bend x_label seconds
      contestants[]          name repetitions[{measure: figure}] disqualified failed (texts or null)
      comparisons[]          measure against ratio verdict
      targets[]              measure ours against wanted at_least ratio met (null: cannot be told)
      slopes{}               contestant: exponent of the fitted curve, for curves
"""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.case import Case, Figures, Target
from benchmarks.figures import Verdict, compare, slope
from benchmarks.peer_environment import peer_versions

RESULTS = Path(__file__).resolve().parent / "results"
_PACKAGES = ("confluent-kafka", "pydantic", "sqlalchemy", "asyncpg", "uvloop", "matplotlib")


@dataclass(slots=True)
class Ran:
    """One contestant of one case."""

    name: str
    repetitions: list[Figures] = field(default_factory=list)
    disqualified: str | None = None
    failed: str | None = None

    def of(self, measure: str) -> list[float]:
        """Its figures, or none when it is out."""
        if self.disqualified or self.failed:
            return []
        return [each[measure] for each in self.repetitions if measure in each]


def told(case: Case, ran: Sequence[Ran], seconds: float) -> dict[str, object]:
    """A case's part of the file."""
    by_name = {each.name: each for each in ran}
    mine = by_name.get(case.ours)
    comparisons = [
        {"measure": measure.name, "against": other.name, **asdict(compared)}
        for measure in case.measures
        for other in ran
        if mine is not None and other is not mine and mine.of(measure.name) and other.of(measure.name)
        for compared in [compare(mine.of(measure.name), other.of(measure.name), more_is_better=measure.more_is_better)]
    ]
    return {
        "name": case.name,
        "title": case.title,
        "group": case.group,
        "measures": [asdict(measure) for measure in case.measures],
        "ours": case.ours,
        "note": case.note,
        "bend": case.bend,
        "x_label": case.x_label,
        "seconds": round(seconds, 1),
        "contestants": [asdict(each) for each in ran],
        "comparisons": comparisons,
        "targets": [_target(target, case, by_name) for target in case.targets],
        "slopes": {each.name: found for each in ran if (found := _slope(each)) is not None} if case.x_label else {},
    }


def _of(ran: Mapping[str, Ran], name: str | None, measure: str) -> Sequence[float]:
    found = None if name is None else ran.get(name)
    return () if found is None else found.of(measure)


def _target(target: Target, case: Case, ran: Mapping[str, Ran]) -> dict[str, object]:
    mine = ran[target.ours].of(target.measure) if target.ours in ran else []
    ratio: float | None = None
    told_apart = True
    if mine and target.against is None:
        ratio = sorted(mine)[len(mine) // 2]
    elif mine and (theirs := _of(ran, target.against, target.measure)):
        compared = compare(mine, theirs, more_is_better=target.at_least)
        ratio, told_apart = compared.ratio, compared.verdict is not Verdict.NOT_TOLD_APART
    met = None if ratio is None else (ratio >= target.ratio if target.at_least else ratio <= target.ratio)
    return {
        "measure": target.measure,
        "ours": target.ours,
        "against": target.against,
        "wanted": target.ratio,
        "at_least": target.at_least,
        "ratio": ratio,
        "met": met,
        "ranges_apart": told_apart,
        "unit": next((measure.unit for measure in case.measures if measure.name == target.measure), ""),
    }


def points_of(ran: Ran) -> list[tuple[float, float]]:
    """The medians of `name@x` over x, of the first such name."""
    found: dict[float, list[float]] = {}
    first: str | None = None
    for figures in () if ran.disqualified or ran.failed else ran.repetitions:
        for name, value in figures.items():
            what, at, x = name.partition("@")
            if at and (first is None or what == first):
                first = what
                found.setdefault(float(x), []).append(value)
    return [(x, sorted(values)[len(values) // 2]) for x, values in sorted(found.items())]


def _slope(ran: Ran) -> float | None:
    try:
        return round(slope(points_of(ran)), 3)
    except ValueError:
        return None


def machine() -> dict[str, object]:
    """What a figure depends on most."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1e6, 1),
        "kernel": platform.release(),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}
    return {**found, **peer_versions(), "apache-kafka": "4.3.1"}


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def write(path: Path, result: Mapping[str, object]) -> None:
    """Whole or not at all: a reader never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()
