"""The handlers of the accounts, at work on several accounts at once."""

import anyio

from eventbus import Metadata, Repository, UnitOfWork, handles
from tests.crash import accounts
from tests.crash.accounts import Audit, Deposited


@handles(Deposited, attempts=2, backoff_seconds=0.01, on_failure="dead-letter", concurrency=4)
async def take_effect(event: Deposited, metadata: Metadata, work: UnitOfWork) -> None:
    # Some take longer, so that the lanes are at different places.
    await anyio.sleep(0.001 * (event.number % 3))
    await accounts.take_effect(event, metadata, work)


@handles(Deposited, concurrency=4)
async def audit(event: Deposited, metadata: Metadata, audits: Repository[Audit]) -> None:
    await accounts.audit(event, metadata, audits)
