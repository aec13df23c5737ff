"""
Writes the pages of this directory from the declarations in broker/wire/messages.

    python docs/reference/wire/generate.py

A page is a family: the words of its module, then every message as a tree of fields. A test holds the pages against what
this would write.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from broker.handlers.table import TABLE
from broker.wire.apis import APIS, Api
from broker.wire.declaration import MAX_VERSION, NO_VERSIONS, Field, Message, Versions, fields_of
from broker.wire.messages import FAMILIES, request_class, response_class

INDEX = """# The wire protocol

The broker speaks the Kafka protocol. Each message is declared once in `broker/wire/messages/`, with all its
versions; at the first message of a version, its codec is compiled from the declaration (`broker/wire/codec_source.py`).
The pages below are written from the declarations by `python docs/reference/wire/generate.py`.

*Declared* is not *served*: a running broker advertises the APIs that it has handlers for, as the table below says; the
others come with access control and quotas. Ranges are those of Apache Kafka 4.3.1. Produce is advertised from version
0, which librdkafka before 2.11.1 looks for before it turns compression on.

## How a declaration is read

`name  type  versions`, then `null` with the versions that allow null, and `tag` with the number of a tagged field.
`3+` is from version 3 on, `3-5` has both ends. `[]` is an array; a struct's fields are indented below it. Fields
are on the wire in this order, tagged ones at the end of their struct. A version from *flexible from* on has compact
lengths and tagged fields.

## What holds them

- `tests/broker/wire/test_facts.py`: every field against the definitions in Kafka's own client jar.
- `test_kio.py`, `test_kafka_python.py`: two codecs by others read what we write and write what we read.
- `test_malformed.py`: every version cut at every byte, and damaged at random, is refused as malformed and nothing
  else.

## How fast they are

Microseconds for a message with one partition, best of five runs on two shared cores, Python 3.11 (`python -m
tests.broker.wire.measure_codecs`):

| | ours | kio 0.6.5 (native decoder) | kafka-python 3.0.12 |
|---|---|---|---|
| decode a Produce v9 request | 2.0 | 0.5 | 2.7 |
| decode a Fetch v12 request | 1.9 | 0.7 | 2.9 |
| encode a Fetch v12 response, as a frame | 2.0 | 10.1 | 9.2 |

## The APIs
"""


def versions(found: Versions) -> str:
    """As the declaration has it."""
    if found.highest == MAX_VERSION:
        return f"{found.lowest}+"
    return str(found.lowest) if found.lowest == found.highest else f"{found.lowest}-{found.highest}"


def tree(fields: tuple[Field, ...], indent: int) -> Iterator[str]:
    """One line a field, the fields of its struct below it."""
    for field in fields:
        kind = ("[]" if field.is_array else "") + field.kind
        words = [f"{'  ' * indent}{field.name}".ljust(44), kind.ljust(10), versions(field.versions)]
        if field.nullable != NO_VERSIONS:
            words.append(f"null {versions(field.nullable)}")
        if field.tag is not None:
            words.append(f"tag {field.tag}")
        yield "  ".join(words).rstrip()
        if field.struct is not None:
            yield from tree(fields_of(field.struct), indent + 1)


def message_section(message: type[Message]) -> str:
    """The heading and the tree of one message."""
    lines = "\n".join(tree(fields_of(message), 0)) or "(no fields)"
    return f"### {message.__name__}\n\n```\n{lines}\n```\n"


def api_section(api: Api) -> str:
    """Both messages of an API."""
    flexible = "never flexible" if api.flexible_from is None else f"flexible from v{api.flexible_from}"
    served = "" if api.key in TABLE else "; not served"
    head = f"## {api.name}, key {int(api.key)}: v{api.lowest} to v{api.highest}, {flexible}{served}\n"
    return "\n".join([head, message_section(request_class(api.key)), message_section(response_class(api.key))])


def family_page(family: str) -> str:
    """The words of a family's module, then its APIs."""
    source = Path(import_module(f"broker.wire.messages.{family}").__file__ or "").read_text()
    first, _, rest = (ast.get_docstring(ast.parse(source)) or "").partition("\n")
    title = family.replace("_", " ").capitalize()
    apis = [api for api in APIS.values() if FAMILIES[api.key] == family]
    notes = f"```\n{rest.strip()}\n```\n"
    return "\n".join([f"# {title}\n", f"{first}\n", notes, *map(api_section, apis)])


def index_page() -> str:
    """The index with the table of APIs."""
    rows = [
        f"| {int(api.key)} | [{api.name}]({FAMILIES[api.key]}.md) | {api.lowest}-{api.highest} "
        f"| {'never' if api.flexible_from is None else api.flexible_from} | {'yes' if api.key in TABLE else 'no'} |"
        for api in APIS.values()
    ]
    return INDEX + "\n".join(
        ["", "| key | API | versions | flexible from | served |", "|---|---|---|---|---|", *rows, ""]
    )


def pages() -> dict[str, str]:
    """Every page by its file name."""
    return {"index.md": index_page(), **{f"{family}.md": family_page(family) for family in set(FAMILIES.values())}}


def main() -> None:
    """Writes the pages beside this file."""
    for name, text in pages().items():
        (Path(__file__).parent / name).write_text(text)


if __name__ == "__main__":
    main()
