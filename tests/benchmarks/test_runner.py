"""The benchmarks' runner: turns, who is out and why, and what is kept of it. No test looks at a time."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from benchmarks import pictures
from benchmarks.case import Case, Contestant, Doing, Figures, Measure, Mode, Target, Unsound
from benchmarks.program import Program
from benchmarks.publication import publish_figures
from benchmarks.record import write
from benchmarks.report import markdown, targets_markdown
from benchmarks.room import Room
from benchmarks.runner import Plan, run_case, run_cases

RATE = Measure("rate", "MB/s", more_is_better=True)
Work = Callable[[], Figures]


def case_of(
    works: dict[str, Work], *, targets: tuple[Target, ...] = (), x_label: str = "", name: str = "a.b.c"
) -> Case:
    """A case with those contestants; the first is ours."""

    @contextmanager
    def opened(_room: Room) -> Iterator[Sequence[Contestant]]:
        yield [Doing(each, work) for each, work in works.items()]

    return Case(
        name, "Some work", (RATE,), next(iter(works)), opened, targets, x_label=x_label, repetitions=3, warm_up=1
    )


def run(case: Case, plan: Plan | None = None) -> dict[str, object]:
    """Its part of the results."""
    with Room(Mode.QUICK) as room:
        return run_case(case, plan or Plan(Mode.QUICK), room, lambda _text: None)


def contestants(found: dict[str, object]) -> dict[str, dict[str, object]]:
    """By name."""
    return {str(each["name"]): each for each in cast("list[dict[str, object]]", found["contestants"])}


def test_contestants_take_turns_and_the_order_is_reversed_every_turn() -> None:
    """What one leaves in the caches is not always the same other's; the warm-up is run and not counted."""
    order: list[str] = []

    def work(name: str) -> Work:
        def one() -> Figures:
            order.append(name)
            return {"rate": float(len(order))}

        return one

    found = run(case_of({"ours": work("ours"), "theirs": work("theirs")}))

    assert order == ["ours", "theirs", "theirs", "ours", "ours", "theirs", "theirs", "ours"]
    assert contestants(found)["ours"]["repetitions"] == [{"rate": 4.0}, {"rate": 5.0}, {"rate": 8.0}]


def test_who_loses_a_message_is_disqualified_and_the_others_go_on() -> None:
    """Its words are in the results, and no ratio is given to it."""

    def loses() -> Figures:
        raise Unsound("100 records were acknowledged, 99 are there")

    target = Target("rate", "ours", "theirs", 1.5)
    found = run(case_of({"ours": lambda: {"rate": 2.0}, "theirs": loses}, targets=(target,)))

    assert contestants(found)["theirs"]["disqualified"] == "100 records were acknowledged, 99 are there"
    assert found["comparisons"] == []
    assert cast("list[dict[str, object]]", found["targets"])[0]["met"] is None
    assert len(cast("list[object]", contestants(found)["ours"]["repetitions"])) == 3
    assert "disqualified: 100 records" in markdown({"cases": [found]})


def test_who_fails_is_told_and_ends_nothing() -> None:
    """An error of a contestant is in the table with its words."""

    def breaks() -> Figures:
        raise OSError("no such server")

    found = run(case_of({"ours": lambda: {"rate": 2.0}, "theirs": breaks}))

    assert contestants(found)["theirs"]["failed"] == "OSError: no such server"
    assert contestants(found)["ours"]["failed"] is None


def test_a_turn_that_hangs_is_interrupted() -> None:
    """The case's limit ends it; the rest of the run is not lost."""

    def hangs() -> Figures:
        time.sleep(60)
        return {"rate": 1.0}

    case = case_of({"ours": lambda: {"rate": 2.0}, "theirs": hangs})
    found = run(Case(case.name, case.title, case.measures, case.ours, case.open, seconds_max=0.05))

    assert "took more than" in str(contestants(found)["theirs"]["failed"])


def test_a_case_that_cannot_be_opened_is_a_failed_one() -> None:
    """The run goes on to the next case, and what there is has been kept."""

    @contextmanager
    def broken(_room: Room) -> Iterator[Sequence[Contestant]]:
        raise RuntimeError("Java is missing")
        yield []

    kept: list[dict[str, object]] = []
    cases = [Case("a.b.c", "Broken", (RATE,), "ours", broken), case_of({"ours": lambda: {"rate": 1.0}})]
    with Room(Mode.QUICK) as room:
        run_cases(cases, Plan(Mode.QUICK), room, lambda _text: None, kept.append)

    assert "Java is missing" in str(contestants(kept[0])["ours"]["failed"])
    assert contestants(kept[1])["ours"]["failed"] is None


def test_cases_that_would_begin_too_late_are_left_out_by_name() -> None:
    """A run ends within its time, with the cases that carry most, and says what it has not measured."""
    said: list[str] = []
    kept: list[dict[str, object]] = []
    with Room(Mode.QUICK) as room:
        case = case_of({"ours": lambda: {"rate": 1.0}}, name="late.one")
        run_cases([case], Plan(Mode.QUICK, seconds_max=-1.0), room, said.append, kept.append)

    assert kept == []
    assert "late.one" in said[0]


def test_an_aim_is_told_as_met_or_missed_with_its_ratio() -> None:
    """Ratios are of medians; ranges that overlap are told with it."""
    aims = (Target("rate", "ours", "theirs", 1.5), Target("rate", "ours", None, 5.0))
    found = run(case_of({"ours": lambda: {"rate": 4.0}, "theirs": lambda: {"rate": 2.0}}, targets=aims))
    table = targets_markdown({"cases": [found]})

    assert [each["met"] for each in cast("list[dict[str, object]]", found["targets"])] == [True, False]
    assert "≥ 1.5 times theirs | 2.00 | met" in table
    assert "≥ 5.0 MB/s | 4.00 | **missed**" in table


def test_a_curve_has_a_fitted_slope_for_each_contestant() -> None:
    """Figures at `name@x` are points."""
    work: Work = lambda: {f"rate@{x}": 3.0 * x for x in (1, 10, 100)}  # noqa: E731
    found = run(case_of({"ours": work}, x_label="records"))

    assert found["slopes"] == {"ours": 1.0}
    assert "x^+1.00" in markdown({"cases": [found]})


def test_results_are_whole_or_not_there(tmp_path: Path) -> None:
    """A file is replaced, never written over."""
    path = tmp_path / "results" / "today.json"
    write(path, {"cases": [1]})
    write(path, {"cases": [1, 2]})

    assert json.loads(path.read_text()) == {"cases": [1, 2]}
    assert [each.name for each in path.parent.iterdir()] == ["today.json"]


PROGRAM = """
import sys
from benchmarks import answering
from benchmarks.case import Unsound

async def main(answers):
    async def run(turn):
        print("chatter of a framework")
        if turn["turn"] == 2:
            raise Unsound("doubled")
        return {"rate": 1.5}
    await answers.loop(run)

answering.serve(main)
"""


def test_a_program_answers_turn_by_turn_over_its_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it prints besides does not spoil its answers, and Unsound comes across."""
    (tmp_path / "contestant.py").write_text(PROGRAM)
    root = Path(__file__).resolve().parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
    program = Program("one", sys.executable, "contestant", {}, seconds_max=60)
    try:
        assert program.run() == {"rate": 1.5}
        with pytest.raises(Unsound, match="doubled"):
            program.run()
    finally:
        program.close()


def test_pictures_are_drawn_of_bars_and_curves_and_of_who_is_out(tmp_path: Path) -> None:
    """One SVG and one PNG a group, also when a contestant has no figures."""

    def loses() -> Figures:
        raise Unsound("lost")

    bars = run(case_of({"broker": lambda: {"rate": 2.0}, "theirs": loses}))
    curve = run(
        case_of({"broker": lambda: {"rate@1": 1.0, "rate@10": 2.0}}, x_label="records", name="a.curve.of-something")
    )

    drawn = list(pictures.draw({"cases": [bars, curve]}, tmp_path))

    assert sorted(each.name for each in drawn) == ["a.b.png", "a.b.svg", "a.curve.png", "a.curve.svg"]
    assert all(each.stat().st_size > 1000 for each in drawn)


def test_a_run_is_published_whole_with_its_aims_pictures_and_tables(tmp_path: Path) -> None:
    """What an earlier run has left among the pictures is gone: figures of two runs never stand beside each other."""
    stale = tmp_path / "pictures" / "benchmarks" / "gone.case.svg"
    stale.parent.mkdir(parents=True)
    stale.write_text("<svg/>")
    picture = tmp_path / "a.b.svg"
    picture.write_text("<svg/>")
    target = Target("rate", "ours", "theirs", 1.5)
    case = run(case_of({"ours": lambda: {"rate": 4.0}, "theirs": lambda: {"rate": 2.0}}, targets=(target,)))
    versions = {"python": "3", "confluent-kafka": "2", "apache-kafka": "4"}
    machine = {"cores": 2, "cpu": "x", "memory_gb": 8, "kernel": "6", "load_average_before": 0.1}
    result: dict[str, object] = {"mode": "full", "date": "2026-01-01T00:00", "commit": "abc", "seconds": 60.0}

    page = publish_figures(
        {**result, "machine": machine, "versions": versions, "cases": [case]},
        [picture],
        Path("2026-01-01.json"),
        tmp_path,
    ).read_text()

    assert not stale.exists()
    assert (stale.parent / "a.b.svg").exists()
    assert "![a.b](pictures/benchmarks/a.b.svg)" in page
    assert "| 2.00 | met |" in page
    assert "2026-01-01.json" in page
