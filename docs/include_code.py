"""
Keeps the code in Markdown pages the same as in the files that the samples and tests run.

A page says in a comment line where the block behind it comes from; the block's text is then this command's to write:

    <!-- code: samples/order-service/order_service/order.py -->            the whole file
    <!-- code: samples/order-service/order_service/order.py#Order -->      these top-level definitions, in this order
    ```python
    ...
    ```

    python docs/include_code.py            writes the pages anew
    python docs/include_code.py --check    names each page that is out of date, and ends with code 1
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"<!-- code: (?P<source>\S+) -->\n```(?P<language>\w+)\n(?P<text>.*?)```\n", re.DOTALL)


class BrokenInclude(Exception):
    """A page names a file or a definition that is not there."""


def pages() -> Iterator[Path]:
    """Every Markdown page whose code may be included."""
    yield from sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "samples").rglob("*.md")])


def rewritten(page: Path) -> str:
    """The page's text with every included block as its source says now. Raises BrokenInclude."""

    def block(match: re.Match[str]) -> str:
        source, language = match["source"], match["language"]
        return f"<!-- code: {source} -->\n```{language}\n{_source_text(source, page)}```\n"

    return BLOCK.sub(block, page.read_text())


def _source_text(source: str, page: Path) -> str:
    name, _, wanted = source.partition("#")
    path = ROOT / name
    if not path.is_file():
        raise BrokenInclude(f"{page.relative_to(ROOT)} includes {name}, which is not there")
    text = path.read_text()
    if not wanted:
        return text
    lines = text.splitlines()
    spans: dict[str, tuple[int, int]] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            spans[node.name] = (first - 1, node.end_lineno or node.lineno)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            spans[node.targets[0].id] = (node.lineno - 1, node.end_lineno or node.lineno)
    missing = [definition for definition in wanted.split(",") if definition not in spans]
    if missing:
        raise BrokenInclude(
            f"{page.relative_to(ROOT)} includes {', '.join(missing)} of {name}, which has no such definition"
        )
    parts = ["\n".join(lines[slice(*spans[definition])]) for definition in wanted.split(",")]
    return "\n\n\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Keeps the code in Markdown pages the same as in the tested files.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; end with code 1 when a page is out of date"
    )
    check = parser.parse_args().check
    stale = 0
    for page in pages():
        text = rewritten(page)
        if text != page.read_text():
            stale += 1
            sys.stderr.write(
                f"{page.relative_to(ROOT)} {'is out of date: run docs/include_code.py' if check else 'written'}\n"
            )
            if not check:
                page.write_text(text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
