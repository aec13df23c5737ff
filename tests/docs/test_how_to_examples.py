"""The code of the how-to pages does what the pages say."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from eventbus.database import Migrations
from tests.docs.examples.middleware import Closed, OpeningHours
from tests.docs.examples.rate_service import rate_service
from tests.docs.examples.rates import GetRate, SetRate
from tests.docs.examples.strict_events import PriceChanged

pytestmark = pytest.mark.anyio


def test_an_event_that_refuses_unknown_fields_does() -> None:
    """docs/how-to/rename-or-change-an-event.md"""
    with pytest.raises(ValidationError, match="euros"):
        PriceChanged.model_validate({"sku": "a", "cents": 5, "euros": 1})


async def test_middleware_refuses_audits_and_remembers(tmp_path: Path) -> None:
    """docs/how-to/write-a-middleware.md"""
    url = f"sqlite:///{tmp_path}/rates.sqlite3"
    app = rate_service(OpeningHours(is_open=True), url)
    await Migrations(app.database).prepare()
    async with app.database.transaction() as connection:
        await connection.execute(text("CREATE TABLE audit (message_id TEXT, type TEXT, correlation_id TEXT)"))

    receipt = await app.send(SetRate(currency="CHF"))
    async with app.database.reading() as connection:
        (row,) = (await connection.execute(text("SELECT * FROM audit"))).all()
    assert tuple(row) == (receipt.command_id, "SetRate", receipt.command_id)

    assert await app.ask(GetRate(currency="CHF")) == await app.ask(GetRate(currency="CHF"))
    assert await app.ask(GetRate(currency="CHF")) != await app.ask(GetRate(currency="SEK"))

    with pytest.raises(Closed, match="SetRate has to wait until tomorrow"):
        await rate_service(OpeningHours(is_open=False), url).send(SetRate(currency="CHF"))
    await app.database.aclose()
