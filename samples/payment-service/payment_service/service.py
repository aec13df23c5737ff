"""The service: the application and its HTTP face. Settings come from the environment (EVENTBUS_…)."""

from typing import Annotated

from fastapi import FastAPI, Query

from eventbus import Application, ApplicationStatus
from eventbus.http import health, http_errors
from payment_service import handlers, views
from payment_service.messages import GetPayment, ListPayments
from payment_service.views import Payment

app = Application("payment-service", modules=[handlers, views])
api = FastAPI(title="payment-service", lifespan=app.lifespan, exception_handlers=http_errors)
api.mount("/health", health(app))


@api.get("/payments")
async def list_payments(query: Annotated[ListPayments, Query()]) -> list[Payment]:
    return await app.ask(query)


@api.get("/payments/{order_id}")
async def get_payment(order_id: str) -> Payment | None:
    return await app.ask(GetPayment(order_id=order_id))


@api.get("/status")
async def status() -> ApplicationStatus:
    return await app.status()
