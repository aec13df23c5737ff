"""Which claims others have taken over: to be seen also where nothing arrives that would meet the fence."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from eventbus.database import Checkpoint, Checkpoints, Database


class Placed(Protocol):
    """A claim that has a checkpoint."""

    @property
    def checkpoint(self) -> Checkpoint:
        """As it was claimed, or last moved."""
        ...


P = TypeVar("P", bound=Placed)


async def fenced_claims(database: Database, claims: Sequence[P]) -> list[P]:
    """
    Those of *claims* whose checkpoints have another epoch by now; nobody else's are read. Raises DatabaseUnavailable.
    """
    if not claims:
        return []
    claimed = [claim.checkpoint for claim in claims]
    async with database.reading() as connection:
        epochs = await Checkpoints().epochs(connection, claimed)
    return [
        claim for claim, checkpoint, epoch in zip(claims, claimed, epochs, strict=True) if epoch != checkpoint.epoch
    ]
