"""
Writes `metrics.md` from `eventbus/observability/`: `python docs/reference/generate_metrics.py`.
"""

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from eventbus.observability import counters, figures, metrics

PAGE = Path(__file__).parent / "metrics.md"
HEAD = """\
# Metrics of a service

## OpenTelemetry

Through the API alone: install and configure an SDK, and they are exported. Names beginning with `messaging.` are those
of the semantic conventions, with their attributes.

| name | kind | unit | |
|---|---|---|---|
"""
COUNTERS = """
## Counters

Numbers of one process since its start, in `app.status()["counters"]`, with no exporter at all.

| name | |
|---|---|
"""
TAIL = """
This page is generated from `eventbus/observability/`.
"""
KINDS = {
    "create_counter": "counter",
    "create_histogram": "histogram",
    "gauge": "gauge",
}


def page() -> str:
    """The whole page."""
    measured, held, counted = (ast.parse(inspect.getsource(module)).body for module in (metrics, figures, counters))
    return HEAD + "".join(_instruments([*measured, *held])) + COUNTERS + "".join(_counters(counted)) + TAIL


def _instruments(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        match statement:
            case (
                ast.Assign(value=ast.Call(func=ast.Attribute(attr=function)) as call)
                | ast.Expr(value=ast.Call(func=ast.Attribute(attr=function)) as call)
            ) if function in KINDS:
                given = [*call.args, *(keyword.value for keyword in call.keywords)]
                name, unit, text = (str(one.value) for one in given if isinstance(one, ast.Constant))
                yield f"| `{name}` | {KINDS[function]} | `{unit}` | {text} |\n"
            case _:
                pass


def _counters(body: list[ast.stmt]) -> Iterator[str]:
    for statement, behind in pairwise(body):
        match statement:
            case ast.AnnAssign(target=ast.Name(id=constant), value=ast.Constant(value=str(name))) if (
                not constant.startswith("_")
            ):
                meaning = ""
                if isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant):
                    meaning = str(behind.value.value)
                yield f"| `{name}` | {meaning} |\n"
            case _:
                pass


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
