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
    """Those of *claims* whose checkpoints have another epoch by now. Raises DatabaseUnavailable."""
    async with database.reading() as connection:
        found = await Checkpoints().list(connection)
    epochs = {(one.consumer, one.generation, one.log): one.epoch for one in found}
    return [
        claim
        for claim in claims
        if epochs.get((claim.checkpoint.consumer, claim.checkpoint.generation, claim.checkpoint.log))
        != claim.checkpoint.epoch
    ]
