"""An event that refuses what it does not know."""

from eventbus import Event


class PriceChanged(Event, topic="prices", key="sku", extra="forbid"):
    sku: str
    cents: int
