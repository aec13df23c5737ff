"""
How far a generation has been built from the event store.

The log can lose its beginning, the event store does not. So a generation may be filled from the store first, and from
the log after that:

1  The log's ends S are noted: the generation's checkpoints begin there. Whatever lies before S in the log was committed
   to the store before.
2  The store is read to its end, stream by stream, by versions; where the reading is, is kept with what it has led to.
   An event that is added meanwhile is read or not: in the log it lies behind S, and comes again from there.
3  What the store had for the relay is waited for. The log's ends are then `floor`: no event that was read lies behind.
4  The log is read from S on. What the store has given already is passed over by its stream's version.

So when the live one has passed `floor`, both hold exactly the events before the live checkpoints, and can be compared.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict, cast

from eventbus.transport.port import TopicPartition


class _Written(TypedDict):
    after: list[str | int] | None
    read: int
    total: int
    ended: bool
    floor: list[list[str | int]] | None


@dataclass(frozen=True, slots=True)
class StoreScan:
    """
    after   the stream and version that were read last; None: nothing yet
    read    how many events were read, of `total` that there were at the beginning
    ended   there was nothing behind `after`
    floor   where the log ended when everything that was read was in it; None: not known yet
    """

    after: tuple[str, int] | None = None
    read: int = 0
    total: int = 0
    ended: bool = False
    floor: Mapping[TopicPartition, int] | None = field(default=None, hash=False)

    def to_json(self) -> str:
        """As the generation's row keeps it."""
        floor = self.floor
        written: _Written = {
            "after": None if self.after is None else list(self.after),
            "read": self.read,
            "total": self.total,
            "ended": self.ended,
            "floor": None if floor is None else [[*partition, offset] for partition, offset in floor.items()],
        }
        return json.dumps(written)

    @classmethod
    def from_json(cls, text: str) -> "StoreScan":
        """What `to_json` has written."""
        written = cast("_Written", json.loads(text))
        after, floor = written["after"], written["floor"]
        return cls(
            None if after is None else (str(after[0]), int(after[1])),
            written["read"],
            written["total"],
            written["ended"],
            None if floor is None else {TopicPartition(str(t), int(p)): int(offset) for t, p, offset in floor},
        )
