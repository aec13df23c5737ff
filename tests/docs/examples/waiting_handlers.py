"""A handler that calls another service for every order."""

from typing import Protocol

from eventbus import Event, Metadata, handles


class OrderPlaced(Event):
    order_id: str
    cents: int


class Provider(Protocol):
    async def charge(self, order_id: str, cents: int, *, idempotency_key: str) -> None: ...


@handles(OrderPlaced, concurrency=8, transaction="each")
async def charge(event: OrderPlaced, provider: Provider, metadata: Metadata) -> None:
    await provider.charge(event.order_id, event.cents, idempotency_key=metadata.id)
