"""
Holds user code to the type checkers: `python -m tests.typing.check`.

right/      user code without any error under mypy --strict and basedpyright strict
wrong/      user code in which exactly the lines with `# wrong: …` are errors, under both

Exits 1 and says which file and line is otherwise.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent
_MARK = re.compile(r"#\s*wrong: ")


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """An error that a checker found, or that it did not find where it should."""

    file: Path
    line: int
    checker: str
    message: str

    def __str__(self) -> str:
        return f"{self.file.relative_to(_ROOT)}:{self.line}: {self.checker}: {self.message}"


def expected(file: Path) -> set[int]:
    """The lines of *file* that are marked as wrong."""
    lines = file.read_text().splitlines()
    return {number for number, line in enumerate(lines, start=1) if _MARK.search(line)}


def found_by_mypy(files: list[Path]) -> Iterator[Fault]:
    """The errors of mypy with the project's settings."""
    done = _run("mypy", "--output", "json", "--strict", *map(str, files))
    for line in done.splitlines():
        error = json.loads(line)
        if error["severity"] == "error":
            yield Fault((_ROOT / error["file"]).resolve(), error["line"], "mypy", error["message"])


def found_by_basedpyright(files: list[Path]) -> Iterator[Fault]:
    """The errors of basedpyright with the project's settings, which are strict."""
    done = _run("basedpyright", "--outputjson", *map(str, files))
    for error in json.loads(done)["generalDiagnostics"]:
        if error["severity"] == "error":
            line = error["range"]["start"]["line"] + 1
            yield Fault(Path(error["file"]).resolve(), line, "basedpyright", error["message"].splitlines()[0])


def check() -> list[Fault]:
    """Everything that is not as it should be, by file and line."""
    files = sorted((_HERE / "right").glob("*.py")) + sorted((_HERE / "wrong").glob("*.py"))
    faults: list[Fault] = []
    for found in (list(found_by_mypy(files)), list(found_by_basedpyright(files))):
        checker = found[0].checker if found else "a checker"
        lines = {(fault.file, fault.line) for fault in found}
        for file in files:
            wrong = expected(file)
            # A checker may be in the middle of a change elsewhere: here only the user's files count.
            faults += [fault for fault in found if fault.file == file and fault.line not in wrong]
            faults += [Fault(file, line, checker, "not rejected") for line in wrong if (file, line) not in lines]
    return sorted(faults)


def _run(checker: str, *arguments: str) -> str:
    program = Path(sys.executable).with_name(checker)
    done = subprocess.run([program, *arguments], cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 1}:
        raise SystemExit(f"{checker} failed with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> int:
    faults = check()
    for fault in faults:
        sys.stdout.write(f"{fault}\n")
    marked = sum(len(expected(file)) for file in (_HERE / "wrong").glob("*.py"))
    sys.stdout.write(
        f"{len(faults)} surprises in user code; {marked} wrong lines are to be rejected by both checkers\n"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
