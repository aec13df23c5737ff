"""
A run in the documentation: docs/figures.md with all aims, pictures and tables, and its pictures in
docs/pictures/benchmarks. Both are written whole, so that figures of two runs never stand beside each other.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, cast

from benchmarks.report import markdown, targets_markdown

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"


def publish_figures(
    result: Mapping[str, object], pictures: Sequence[Path], results_file: Path, docs: Path = DOCS
) -> Path:
    """The page that was written."""
    folder = docs / "pictures" / "benchmarks"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for picture in pictures:
        if picture.suffix == ".svg":
            shutil.copy(picture, folder / picture.name)
    page = docs / "figures.md"
    page.write_text(_page(result, results_file), encoding="utf-8")
    return page


def _page(result: Mapping[str, object], results_file: Path) -> str:
    groups: dict[str, list[Mapping[str, object]]] = {}
    for case in cast("Sequence[Mapping[str, object]]", result["cases"]):
        groups.setdefault(str(case["group"]), []).append(case)
    parts = [
        "# Figures",
        "",
        _made_of(result, results_file),
        "",
        "Medians, with the least and the most of the repetitions.",
        "",
        "## Aims",
        "",
        targets_markdown(result),
    ]
    for name, cases in groups.items():
        parts += [f"## {name}", "", f"![{name}](pictures/benchmarks/{name}.svg)", "", markdown({"cases": cases})]
    return "\n".join(parts)


def _made_of(result: Mapping[str, object], results_file: Path) -> str:
    machine = cast("Mapping[str, object]", result["machine"])
    versions = cast("Mapping[str, str]", result["versions"])
    minutes = cast("float", result["seconds"]) / 60
    return (
        f"Written by `python -m benchmarks --publish`, mode {result['mode']}, on {str(result['date'])[:10]} at commit "
        f"{result['commit']}: {machine['cores']} cores ({machine['cpu']}), {machine['memory_gb']} GB, Linux "
        f"{machine['kernel']}; Python {versions['python']}, confluent-kafka {versions['confluent-kafka']}, Apache "
        f"Kafka {versions['apache-kafka']}. Load average before it {machine['load_average_before']}. It took "
        f"{minutes:.0f} minutes; every repetition is in `benchmarks/results/{results_file.name}`. How each number is "
        "made, and what it does not say: [performance](performance.md)."
    )
