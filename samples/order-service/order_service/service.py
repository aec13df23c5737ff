"""The service: the application and its HTTP face. Settings come from the environment (EVENTBUS_…)."""

from typing import Annotated

from fastapi import FastAPI, Header, Query

from eventbus import Application, ApplicationStatus, Receipt
from eventbus.http import health, http_errors
from order_service import handlers, views
from order_service.messages import GetOrder, ListOrders, PlaceOrder
from order_service.views import OrderSummary

app = Application("order-service", modules=[handlers, views])
api = FastAPI(title="order-service", lifespan=app.lifespan, exception_handlers=http_errors)
api.mount("/health", health(app))


@api.post("/orders", status_code=202)
async def post_order(command: PlaceOrder, idempotency_key: Annotated[str | None, Header()] = None) -> Receipt:
    return await app.send(command, id=idempotency_key)


@api.get("/orders/{order_id}")
async def get_order(order_id: str) -> OrderSummary | None:
    return await app.ask(GetOrder(order_id=order_id))


@api.get("/orders")
async def list_orders(query: Annotated[ListOrders, Query()]) -> list[OrderSummary]:
    return await app.ask(query)


@api.get("/status")
async def status() -> ApplicationStatus:
    return await app.status()
