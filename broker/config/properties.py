"""Keys and values as people give them: on a command line and in a properties file."""

from pathlib import Path

from broker.config.keys import InvalidConfig


def parse_assignment(assignment: str) -> tuple[str, str]:
    """`KEY=VALUE` of a command line in its two halves. Raises InvalidConfig."""
    name, separator, value = assignment.partition("=")
    if not separator or not name.strip():
        raise InvalidConfig(f"{assignment!r}: expected KEY=VALUE, for example num.partitions=12")
    return name.strip(), value.strip()


def read_properties(path: Path) -> dict[str, str]:
    """
    The keys of a properties file: `key=value` or `key: value` a line, `#` and `!` start a comment, a backslash at the
    end of a line joins the next one. Raises InvalidConfig with the number of the line, or when *path* cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InvalidConfig(f"{path}: {error.strerror}; give a properties file that can be read") from error
    except UnicodeDecodeError as error:
        raise InvalidConfig(f"{path}: is not UTF-8 at byte {error.start}; give a properties file") from error
    texts: dict[str, str] = {}
    joined = ""
    for number, line in enumerate(lines, start=1):
        joined += line.strip()
        if joined.startswith(("#", "!")) or not joined:
            joined = ""
            continue
        if joined.endswith("\\"):
            joined = joined[:-1]
            continue
        split = min((at for at in (joined.find("="), joined.find(":")) if at > 0), default=-1)
        if split < 0:
            raise InvalidConfig(f"{path}, line {number}: {joined!r}: expected key=value")
        texts[joined[:split].strip()] = joined[split + 1 :].strip()
        joined = ""
    return texts
