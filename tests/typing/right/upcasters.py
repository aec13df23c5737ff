"""An upcaster, as docs/reference/messages.md shows it."""

from pydantic import JsonValue

from eventbus import Event, upcasts


class Priced(Event, version=2):
    amount: int
    currency: str


@upcasts("Priced", from_version=1)
def _with_currency(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {**data, "currency": "EUR"}
