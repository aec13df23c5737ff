"""The read model: one row a payment asked for, folded from the topic `payments`, and the queries that it answers."""

from decimal import Decimal

from eventbus import Row, RowProjection, View, handles, projects
from payment_service.messages import GetPayment, ListPayments, PaymentAuthorized, PaymentDeclined


class Payment(Row, key="order_id"):
    order_id: str
    customer_id: str
    status: str
    amount: Decimal
    payment_id: str | None = None


class Payments(RowProjection[Payment], topics=["payments"], version=1):
    @projects(PaymentAuthorized)
    def authorized(self, row: Payment | None, event: PaymentAuthorized) -> Payment:
        return Payment(
            order_id=event.order_id,
            customer_id=event.customer_id,
            status="authorized",
            amount=event.amount,
            payment_id=event.payment_id,
        )

    @projects(PaymentDeclined)
    def declined(self, row: Payment | None, event: PaymentDeclined) -> Payment:
        return Payment(order_id=event.order_id, customer_id=event.customer_id, status="declined", amount=event.amount)


@handles(GetPayment)
async def get_payment(query: GetPayment, view: View[Payments]) -> Payment | None:
    return await view.get(query.order_id)


@handles(ListPayments)
async def list_payments(query: ListPayments, view: View[Payments]) -> list[Payment]:
    return await view.select(view.columns.order_id > query.after, order_by="order_id", limit=query.limit)
