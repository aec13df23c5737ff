"""
The benchmarks: side by side, in one run, against the real ones.

    python -m benchmarks [--only NAME] [--mode quick|full|scale] [--list] [--draw FILE]

Writes benchmarks/results/<date>.json after every case, and the pictures at the end. docs/performance.md tells how each
number is made. No figure fails anything: the exit code is 1 only when a contestant of ours failed or was disqualified.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from benchmarks import record
from benchmarks.case import Case, Mode
from benchmarks.catalogue import CASES
from benchmarks.publication import publish_figures
from benchmarks.report import markdown, targets_markdown
from benchmarks.room import Room
from benchmarks.runner import Plan, run_cases

# `make bench` has half an hour; what began before this ends within it.
_FULL_SECONDS = 27 * 60.0
_QUICK_SECONDS = 165.0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="NAME", help="cases whose names begin so; several with commas")
    parser.add_argument("--mode", type=Mode, choices=list(Mode), default=Mode.FULL)
    parser.add_argument("--list", action="store_true", help="name the cases of the mode and run nothing")
    parser.add_argument("--repetitions", type=int, help="counted turns, instead of each case's own number")
    parser.add_argument("--warm-up", type=int, help="turns that are not counted")
    parser.add_argument("--size", type=float, default=1.0, help="a factor on all sizes, for trying a case out")
    parser.add_argument("--out", type=Path, help="the results file, instead of benchmarks/results/<date>.json")
    parser.add_argument("--no-pictures", action="store_true")
    parser.add_argument(
        "--publish", action="store_true", help="put pictures and tables into the documentation (docs/figures.md)"
    )
    parser.add_argument("--draw", type=Path, metavar="FILE", help="draw the pictures and tables of a results file")
    given = parser.parse_args()
    if given.draw:
        return _draw(json.loads(given.draw.read_text(encoding="utf-8")), given.draw, publish=given.publish)
    cases = _chosen(given.mode, given.only)
    if given.list:
        for case in cases:
            print(f"{case.name:34} {case.title}")
        return 0
    if not cases:
        parser.error(f"no case of mode {given.mode} begins with {given.only!r}: --list names them")
    began = datetime.now(UTC)
    path = given.out or record.RESULTS / f"{began:%Y-%m-%d}{_suffix(given.mode, given.only)}.json"
    seconds_max = {Mode.FULL: _FULL_SECONDS, Mode.QUICK: _QUICK_SECONDS}.get(given.mode)
    found: list[dict[str, object]] = []
    result: dict[str, object] = {
        "date": began.isoformat(timespec="seconds"),
        "mode": given.mode,
        "seconds": 0.0,
        "commit": record.commit(),
        "machine": record.machine(),
        "versions": record.versions(),
        "cases": found,
    }
    clock = time.monotonic()

    def keep(one: dict[str, object]) -> None:
        found.append(one)
        result["seconds"] = round(time.monotonic() - clock, 1)
        record.write(path, result)

    repetitions = given.repetitions or (3 if given.mode is Mode.QUICK else None)
    with Room(given.mode, given.size) as room:
        run_cases(cases, Plan(given.mode, repetitions, given.warm_up, seconds_max), room, _say, keep)
    _say(f"{path}: {len(found)} of {len(cases)} cases in {(time.monotonic() - clock) / 60:.1f} min")
    if not given.no_pictures:
        _draw(result, path, publish=given.publish)
    return 1 if any(_is_out(one) for one in found) else 0


def _chosen(mode: Mode, only: str) -> Sequence[Case]:
    wanted = tuple(name.strip() for name in only.split(",") if name.strip())
    return [case for case in CASES if mode in case.modes and (not wanted or case.name.startswith(wanted))]


def _suffix(mode: Mode, only: str) -> str:
    parts = ["" if mode is Mode.FULL else f"-{mode}", f"-{only.replace(',', '-')}" if only else ""]
    return "".join(parts)


def _is_out(found: Mapping[str, object]) -> bool:
    contestants = cast("Sequence[Mapping[str, object]]", found["contestants"])
    return any(each["name"] == found["ours"] and (each["disqualified"] or each["failed"]) for each in contestants)


def _draw(result: Mapping[str, object], path: Path, *, publish: bool) -> int:
    path.with_suffix(".md").write_text(f"{targets_markdown(result)}\n{markdown(result)}", encoding="utf-8")
    try:
        from benchmarks.pictures import draw
    except ImportError:
        _say("no pictures: matplotlib is missing (pip install -e '.[bench]')")
        return 0
    pictures = list(draw(result, path.with_suffix("")))
    _say(f"drew {len(pictures)} pictures in {path.with_suffix('')}")
    if publish:
        _say(f"wrote {publish_figures(result, pictures, path)}")
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
