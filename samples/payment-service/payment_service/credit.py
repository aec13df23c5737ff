"""The aggregate: one customer's credit. Its events go to the topic `payments`, keyed by the customer's id."""

from decimal import Decimal

from eventbus import Aggregate, applies
from payment_service.messages import PaymentAuthorized, PaymentDeclined

CREDIT_LIMIT = Decimal(1000)


class Credit(Aggregate, topic="payments"):
    spent: Decimal = Decimal(0)

    def pay(self, order_id: str, amount: Decimal) -> None:
        if self.spent + amount > CREDIT_LIMIT:
            reason = f"{amount} would exceed the credit limit of {CREDIT_LIMIT}: {self.spent} is spent"
            self.record(PaymentDeclined(order_id=order_id, customer_id=self.id, amount=amount, reason=reason))
        else:
            payment_id = f"payment-{order_id}"
            self.record(PaymentAuthorized(order_id=order_id, customer_id=self.id, payment_id=payment_id, amount=amount))

    @applies(PaymentAuthorized)
    def _authorized(self, event: PaymentAuthorized) -> None:
        self.spent += event.amount

    @applies(PaymentDeclined)
    def _declined(self, event: PaymentDeclined) -> None:
        """A declined payment leaves the credit as it was."""
