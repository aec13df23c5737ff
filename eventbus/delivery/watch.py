"""
Looks every few seconds whether claims are still what they were: a topic that is deleted and made anew at once, and a
checkpoint that others have moved where nothing arrives, show in nothing else.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from eventbus.delivery.subscription import Claim
from eventbus.transport.port import Transport

_log = logging.getLogger("eventbus.delivery")

WATCH_SECONDS: Final = 3.0


class Watch:
    """
    Of one consumer, *name*.

    fenced   says which of the claims others have taken over, or moved; None: nobody can
    """

    def __init__(
        self,
        name: str,
        topics: Sequence[str],
        transport: Transport,
        fenced: Callable[[Sequence[Claim]], Awaitable[Sequence[Claim]]] | None,
    ) -> None:
        self._name = name
        self._topics = topics
        self._transport = transport
        self._fenced = fenced

    async def lost(self, claims: Sequence[Claim]) -> list[Claim]:
        """
        Those of *claims* that have to be claimed again: their log is another one, or they are others' by now. None
        while log or database is away: an absence is said by who waits for it.
        """
        if not claims:
            return []
        try:
            log = await self._transport.describe(self._topics)
            fenced = await self._fenced(claims) if self._fenced is not None else ()
        except Exception as error:
            # What is more than an absence is met by the next claim.
            _log.debug("consumer %s: log and checkpoints not compared: %s", self._name, error)
            return []
        theirs = {id(claim) for claim in fenced}
        lost: list[Claim] = []
        for claim in claims:
            topic = log.topics.get(claim.log.topic)
            found = (log.cluster_id, None if topic is None else topic.topic_id)
            if id(claim) in theirs or found != (claim.log.cluster_id, claim.log.topic_id):
                lost.append(claim)
        return lost
