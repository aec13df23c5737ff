"""How many works a transaction is to have."""

from typing import Final

_SECONDS: Final = 0.1
_FIRST: Final = 50
_MAX: Final = 10_000


class Pace:
    """
    So many that their handlers take a tenth of a second together, not minutes.

    Only what handlers take counts. What a transaction costs beside them, and its waiting for others, is the same for
    one work as for many: it would be a reason for larger ones, and a slow moment would end in transactions of one work.
    """

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = _FIRST

    def took(self, works: int, seconds: float) -> None:
        """The handlers of so many works have taken so long."""
        fitting = int(works * _SECONDS / max(seconds, 1e-6))
        self.size = max(1, min(fitting, self.size * 4, _MAX))
