"""What the demo was told over HTTP: the orders that were accepted, and when each was first seen in its final state."""

import json
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypedDict

FINAL = frozenset({"paid", "rejected"})


class OrderLine(TypedDict):
    sku: str
    quantity: int
    price: str


class OrderRequest(TypedDict):
    order_id: str
    customer_id: str
    lines: list[OrderLine]


@dataclass
class Entry:
    """One accepted order; times are seconds since the epoch."""

    posted_at: float
    settled_at: float | None = None


@dataclass
class Ledger:
    """
    killed_at, back_at   when the payment service was killed, and when its successor handled its first event
    relays_killed        when a process was killed whose relay writes into a topic, by that topic
    """

    orders: dict[str, Entry] = field(default_factory=dict[str, Entry])
    killed_at: float = 0.0
    back_at: float = 0.0
    relays_killed: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def relay_killed(self, topic: str) -> None:
        """What it had published and not deleted by now is published again, under the same ids."""
        self.relays_killed.setdefault(topic, []).append(time.time())

    @property
    def unsettled(self) -> int:
        # Copied in one step: orders are added by other threads.
        return sum(entry.settled_at is None for entry in tuple(self.orders.values()))

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> "Ledger":
        raw = json.loads(path.read_text())
        return cls(
            orders={order_id: Entry(**entry) for order_id, entry in raw["orders"].items()},
            killed_at=raw["killed_at"],
            back_at=raw["back_at"],
            relays_killed=raw["relays_killed"],
        )


def order_requests(seed: int) -> Iterator[OrderRequest]:
    """Orders without end, the same for the same seed: 40 customers and about 80 an order, so some meet their limit."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        yield {
            "order_id": f"order-{number:05d}",
            "customer_id": f"customer-{chance.randrange(40):02d}",
            "lines": [
                {
                    "sku": f"sku-{chance.randrange(1000):03d}",
                    "quantity": chance.randint(1, 4),
                    "price": f"{chance.randint(500, 3000) / 100:.2f}",
                }
                for _ in range(chance.randint(1, 3))
            ],
        }
