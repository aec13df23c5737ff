"""
Limits that somebody has run into, told to whoever reads the log. The client has its error code; this is for who can
raise the limit, or find the client.
"""

import logging

LOG = logging.getLogger("broker.limits")

QUIET_S = 10.0
_NAME_CHARACTERS = 60


class LimitLog:
    """One line when a limit is reached; then one every ten seconds at most for its key, with how often it was since."""

    __slots__ = ("_again_at", "_unsaid")

    def __init__(self) -> None:
        self._again_at: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def reached(self, key: str, limit: int, who: str, now: float) -> None:
        """*key* is the setting, *who* what was refused, *now* monotonic seconds."""
        if now < self._again_at.get(key, now):
            self._unsaid[key] = self._unsaid.get(key, 0) + 1
            return
        self._again_at[key] = now + QUIET_S
        LOG.warning("limit reached key=%s limit=%d refused=%r unsaid=%d", key, limit, who, self._unsaid.pop(key, 0))


def shortened(name: str) -> str:
    """A name that may be as long as its sender liked, for a line of the log."""
    return name if len(name) <= _NAME_CHARACTERS else f"{name[:_NAME_CHARACTERS]}… ({len(name)} characters)"
