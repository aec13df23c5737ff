"""
Writes `settings.md` from `eventbus/config.py`: `python docs/reference/generate_settings.py`.
"""

import ast
import inspect
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import get_args

from pydantic.fields import FieldInfo

from eventbus.config import Settings

PAGE = Path(__file__).parent / "settings.md"
HEAD = """\
# Settings of a service

What an operator sets: environment variables, read once when the application is built. `Application(…)` takes each of
them as a keyword too, which wins. An empty variable counts as not set. A wrong value is one sentence with the
variable's name, and exit code 2; a variable that is nearly one of these is a warning.

What a developer decides (how often a handler is tried, where a new one begins, an event's topic) is in the code, not
here: [Messages](messages.md).

| variable | takes | default | meaning |
|---|---|---|---|
"""
TAIL = """
## Where the log is

`EVENTBUS_BROKER_URL` is one of

- `embedded:DIR`: a log server of its own on this machine, shared by all services that are given the same directory;
  whoever comes first starts it
- `embedded:`: the same, in the user's state directory: `$XDG_STATE_HOME/eventbus`, else `~/.local/state/eventbus`; on
  macOS `~/Library/Application Support/eventbus`
- `kafka://host:port,host:port`: any cluster that speaks the Kafka protocol; without a port, 9092
- `kafka://host:port?option=value`: the same, with options of librdkafka, such as `security.protocol`

Which options there are, what each takes and which cannot be set: [options of a kafka:// URL](kafka-options.md).

This page is generated from `eventbus/config.py`.
"""


def page() -> str:
    """The whole page."""
    documented = _docstrings()
    rows = [_row(name, field, documented[name]) for name, field in Settings.model_fields.items() if name != "service"]
    return HEAD + "\n".join(rows) + "\n" + TAIL


def _docstrings() -> dict[str, str]:
    fields = next(node.body for node in ast.parse(inspect.getsource(Settings)).body if isinstance(node, ast.ClassDef))
    found: dict[str, str] = {}
    for field, behind in pairwise(fields):
        match field, behind:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text).replace("\n", " ")
            case _:
                pass
    return found


def _row(name: str, field: FieldInfo, meaning: str) -> str:
    default = "" if field.default is None else f"`{field.default}`"
    return f"| `EVENTBUS_{name.upper()}` | {_takes(field)} | {default} | {meaning} |"


def _takes(field: FieldInfo) -> str:
    kinds = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not NoneType]
    if all(isinstance(kind, str) for kind in kinds):
        return " or ".join(f"`{kind}`" for kind in kinds)
    word = {"str": "text", "int": "a whole number", "float": "seconds", "bool": "`true` or `false`"}[kinds[0].__name__]
    bounds = [
        f"{words} {value:g}"
        for one in field.metadata
        for attribute, words in (("gt", "more than"), ("ge", "at least"), ("le", "at most"))
        if (value := getattr(one, attribute, None)) is not None
    ]
    return ", ".join([word, *bounds])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
