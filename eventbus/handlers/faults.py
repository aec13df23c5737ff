"""
Collects what is wrong with an application, so that a developer reads all of it at once.
"""

from collections.abc import Generator
from contextlib import contextmanager

from eventbus.errors import DefinitionError


class Faults:
    """
    with faults.collected(): …    a DefinitionError in the block is kept, and the block is left
    faults.raise_all()            one DefinitionError with a line for each; nothing when there is none
    """

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        self._lines.append(line)

    @contextmanager
    def collected(self) -> Generator[None, None, None]:
        try:
            yield
        except DefinitionError as error:
            self._lines.extend(str(error).splitlines())

    def raise_all(self) -> None:
        """Raises DefinitionError with every fault once, in the order in which they were found."""
        if self._lines:
            raise DefinitionError("\n".join(dict.fromkeys(self._lines)))
