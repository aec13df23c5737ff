"""Results as text: lines while it runs, and Markdown tables for the documentation."""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from benchmarks.figures import Spread

Told = Mapping[str, object]


def short(value: float) -> str:
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.4f}"


def spread_of(contestant: Told, measure: str) -> Spread | None:
    """None for one that is out or does not have the measure."""
    if contestant["disqualified"] or contestant["failed"]:
        return None
    repetitions = cast("Sequence[Mapping[str, float]]", contestant["repetitions"])
    values = [each[measure] for each in repetitions if measure in each]
    return Spread.of(values) if values else None


def _told(found: Told, part: str) -> Sequence[Told]:
    return cast("Sequence[Told]", found[part])


def case_lines(found: Told) -> Iterator[str]:
    """A case for the eye: a line each contestant, then slopes and aims."""
    if found["x_label"]:
        yield from (f"    {line}" for line in _curve_table(found)[:-2])
    for contestant in _told(found, "contestants"):
        cells = [
            f"{measure['name']} {short(spread.median)} ({short(spread.low)} to {short(spread.high)}) {measure['unit']}"
            for measure in _told(found, "measures")
            if (spread := spread_of(contestant, str(measure["name"]))) is not None
        ]
        out = contestant["disqualified"] or contestant["failed"]
        if found["x_label"] and not out:
            continue
        told = f"OUT: {str(out).strip().splitlines()[-1]}" if out else "; ".join(cells)
        yield f"    {contestant['name']!s:34} {told}"
    for target in _told(found, "targets"):
        yield f"    target: {target_words(target)}"


def target_words(target: Told) -> str:
    sign = "≥" if target["at_least"] else "≤"
    against = f" times {target['against']}" if target["against"] else f" {target['unit']}"
    what = f"{target['measure']} of {target['ours']} {sign} {target['wanted']}{against}"
    if target["ratio"] is None:
        return f"{what}: not measured"
    words = "met" if target["met"] else "MISSED"
    unsure = "" if target["ranges_apart"] else " (the ranges overlap)"
    return f"{what}: {short(cast('float', target['ratio']))}, {words}{unsure}"


def markdown(result: Told) -> str:
    """Every case as a table: contestants down, measures across, medians with their ranges."""
    parts: list[str] = []
    for found in _told(result, "cases"):
        measures = _told(found, "measures")
        parts += [f"### {found['title']}", "", f"`{found['name']}`", ""]
        if found["x_label"]:
            parts += _curve_table(found)
            continue
        heads = [f"{measure['name']} ({measure['unit']})" for measure in measures]
        parts += [f"| | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
        for contestant in _told(found, "contestants"):
            if contestant["disqualified"] or contestant["failed"]:
                why = "disqualified" if contestant["disqualified"] else "failed"
                text = str(contestant["disqualified"] or contestant["failed"]).strip().splitlines()[-1][:160]
                parts.append(f"| {contestant['name']} | {why}: {text} |{' |' * (len(heads) - 1)}")
                continue
            cells = [
                "" if spread is None else f"{short(spread.median)} ({short(spread.low)} to {short(spread.high)})"
                for spread in (spread_of(contestant, str(measure["name"])) for measure in measures)
            ]
            parts.append(f"| {contestant['name']} | {' | '.join(cells)} |")
        parts += ["", str(found["note"]), ""] if found["note"] else [""]
    return "\n".join(parts)


def _curve_table(found: Told) -> list[str]:
    from benchmarks.record import Ran, points_of

    slopes = cast("Mapping[str, float]", found["slopes"])
    curves = {
        str(each["name"]): points_of(
            Ran(
                str(each["name"]),
                list(cast("Sequence[Mapping[str, float]]", each["repetitions"])),
                cast("str | None", each["disqualified"]),
                cast("str | None", each["failed"]),
            )
        )
        for each in _told(found, "contestants")
    }
    xs = sorted({x for points in curves.values() for x, _ in points})
    lines = [
        f"| {found['x_label']} | {' | '.join(f'{x:g}' for x in xs)} | grows as |",
        f"|---|{'---:|' * len(xs)}---:|",
    ]
    for name, points in curves.items():
        by_x = dict(points)
        cells = [short(by_x[x]) if x in by_x else "" for x in xs]
        exponent = f"x^{slopes[name]:+.2f}" if name in slopes else ""
        lines.append(f"| {name} | {' | '.join(cells)} | {exponent} |")
    return [*lines, "", str(found["bend"]), ""]


def targets_markdown(result: Told) -> str:
    """All aims with what was measured."""
    lines = ["| case | aim | measured | |", "|---|---|---:|---|"]
    for found in _told(result, "cases"):
        for target in _told(found, "targets"):
            sign = "≥" if target["at_least"] else "≤"
            against = f"times {target['against']}" if target["against"] else str(target["unit"])
            ratio = "not measured" if target["ratio"] is None else short(cast("float", target["ratio"]))
            words = "" if target["met"] is None else "met" if target["met"] else "**missed**"
            if target["ratio"] is not None and not target["ranges_apart"]:
                words += ", ranges overlap"
            lines.append(
                f"| `{found['name']}` | {target['measure']} of {target['ours']} {sign} {target['wanted']} {against} "
                f"| {ratio} | {words} |"
            )
    return "\n".join(lines) + "\n"
