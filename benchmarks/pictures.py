"""
Pictures of a results file, PNG and SVG: one a group of cases.

Bars       a contestant's median, with a line from its least to its most; ours in colour; who is out is named, not drawn
Curves     both axes logarithmic, a point a size, the fitted slope beside the name
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.record import Ran, points_of
from benchmarks.report import short, spread_of

_OURS, _OTHER, _RAW = "#1f6f8b", "#b8bec6", "#dfe3e8"
_DARK = "#3b4252"
Told = Mapping[str, object]

mpl.use("Agg")


def draw(result: Told, folder: Path) -> Iterator[Path]:
    """One PNG and one SVG a group, in *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    groups: dict[str, list[Told]] = {}
    for case in cast("Sequence[Told]", result["cases"]):
        groups.setdefault(str(case["group"]), []).append(case)
    with mpl.rc_context(
        {"svg.hashsalt": "eventbus", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    ):
        for name, cases in groups.items():
            figure = _figure(cases)
            for kind in ("svg", "png"):
                path = folder / f"{name}.{kind}"
                figure.savefig(path, dpi=110, metadata={"Date": None} if kind == "svg" else None)
                yield path


def _figure(cases: Sequence[Told]) -> Figure:
    columns = 2 if len(cases) > 1 else 1
    rows = -(-len(cases) // columns)
    tallest = max(len(cast("Sequence[Told]", case["contestants"])) for case in cases)
    height = 3.2 if any(case["x_label"] for case in cases) else 0.9 + 0.33 * tallest
    figure = Figure(figsize=(5.6 * columns, height * rows), layout="constrained")
    for number, case in enumerate(cases, start=1):
        axes = figure.add_subplot(rows, columns, number)
        if case["x_label"]:
            _curves(axes, case)
        else:
            _bars(axes, case)
    return figure


def _bars(axes: Axes, case: Told) -> None:
    measure = cast("Sequence[Told]", case["measures"])[0]
    contestants = list(reversed(cast("Sequence[Told]", case["contestants"])))
    most = 0.0
    for place, contestant in enumerate(contestants):
        spread = spread_of(contestant, str(measure["name"]))
        if spread is None:
            out = "disqualified" if contestant["disqualified"] else "failed" if contestant["failed"] else "no figure"
            axes.text(0, place, f" {out}", va="center", color="#a33", fontsize=8)
            continue
        most = max(most, spread.high)
        axes.barh(place, spread.median, color=_colour(contestant, case), height=0.66)
        axes.plot([spread.low, spread.high], [place, place], color=_DARK, linewidth=1.2, solid_capstyle="butt")
        axes.text(spread.high, place, f"  {short(spread.median)}", va="center", fontsize=8, color=_DARK)
    axes.set_yticks(range(len(contestants)), [str(each["name"]) for each in contestants])
    axes.set_ylim(-0.6, len(contestants) - 0.4)
    axes.set_xlim(0, most * 1.18 or 1)
    better = "more" if measure["more_is_better"] else "less"
    axes.set_xlabel(f"{measure['unit']} ({better} is better)", fontsize=8)
    axes.set_title(str(case["title"]), fontsize=9, loc="left")


def _curves(axes: Axes, case: Told) -> None:
    slopes = cast("Mapping[str, float]", case["slopes"])
    for each in cast("Sequence[Told]", case["contestants"]):
        ran = Ran(
            str(each["name"]),
            list(cast("Sequence[Mapping[str, float]]", each["repetitions"])),
            cast("str | None", each["disqualified"]),
            cast("str | None", each["failed"]),
        )
        points = points_of(ran)
        if not points:
            continue
        label = f"{ran.name} (x^{slopes[ran.name]:+.2f})" if ran.name in slopes else ran.name
        axes.plot(
            [x for x, _ in points], [y for _, y in points], marker="o", markersize=3.5, linewidth=1.4, label=label
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(str(case["x_label"]), fontsize=8)
    axes.set_ylabel(str(cast("Sequence[Told]", case["measures"])[0]["unit"]), fontsize=8)
    axes.grid(visible=True, which="major", color="#eceff4")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, frameon=False)
    axes.set_title(str(case["title"]), fontsize=9, loc="left")


def _colour(contestant: Told, case: Told) -> str:
    name = str(contestant["name"])
    if name == case["ours"] or name.startswith(("eventbus", "broker")):
        return _OURS
    return _RAW if name.startswith("raw") else _OTHER
