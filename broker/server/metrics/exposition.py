"""
Prometheus' text format, version 0.0.4.

    # HELP name what it is
    # TYPE name counter
    name{label="value"} 42

Label values escape backslash, double quote and line feed. A histogram has a `_bucket` for each upper bound, cumulative
and with le="+Inf" last, a `_sum` and a `_count`.
Source  Prometheus' documentation, "Exposition formats"
"""

from collections.abc import Mapping, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Number = int | float


class Exposition:
    """Collects families; `text()` is the page. A family's samples follow its heading."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def counter(self, name: str, text: str, value: Number | None = None) -> None:
        """Begins a family that only grows; with *value* it has one sample, without labels."""
        self._family(name, "counter", text, value)

    def gauge(self, name: str, text: str, value: Number | None = None) -> None:
        """Begins a family that goes up and down; with *value* it has one sample, without labels."""
        self._family(name, "gauge", text, value)

    def histogram(self, name: str, text: str) -> None:
        """Begins a family of `buckets`."""
        self._family(name, "histogram", text, None)

    def sample(self, name: str, labels: Mapping[str, str], value: Number) -> None:
        """One line of the family that was begun last."""
        self._lines.append(f"{name}{_braces(labels)} {_number(value)}")

    def buckets(
        self, name: str, labels: Mapping[str, str], bounds: Sequence[float], counts: Sequence[int], total: float
    ) -> None:
        """
        One histogram: *counts* has how many fell below each of *bounds* and above the one before, and at its end how
        many lay above the last; *total* is their sum.
        """
        below = 0
        for bound, count in zip((*(f"{bound:g}" for bound in bounds), "+Inf"), counts, strict=True):
            below += count
            self.sample(f"{name}_bucket", {**labels, "le": bound}, below)
        self.sample(f"{name}_sum", labels, total)
        self.sample(f"{name}_count", labels, below)

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"

    def _family(self, name: str, kind: str, text: str, value: Number | None) -> None:
        self._lines.append(f"# HELP {name} {text}")
        self._lines.append(f"# TYPE {name} {kind}")
        if value is not None:
            self.sample(name, {}, value)


def _braces(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: Number) -> str:
    return str(value) if isinstance(value, int) else repr(value)
