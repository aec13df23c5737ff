"""
The named moments at which a service is killed, and how the process under test comes to die there.

The framework has no hooks for this: in the process under test, and only there, a method is wrapped, and at its n-th
call that counts the process writes one line to a file, syncs it and sends itself a signal. A case without such a line
has not been where it says, and fails.
"""

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Final

import anyio

from eventbus.database import Checkpoints, DeadLetters, Inbox, LetterRetries, Outbox, Parking, SlotLeases
from eventbus.delivery import EventDelivery
from eventbus.delivery.batch import Batches
from eventbus.delivery.event_claim import LaneFence
from eventbus.delivery.giving_up import GivingUp
from eventbus.delivery.lanes import Lanes
from eventbus.handlers import Invocation
from eventbus.projections import ProjectionRunner
from eventbus.projections.progress import RebuildProgress
from eventbus.projections.row_table import RowTable
from eventbus.transport.kafka.transactions import KafkaTransactionalProducer

AsyncMethod = Callable[..., Awaitable[object]]
Method = Callable[..., object]
_THREAD_SECONDS: Final = 0.01
"""Longer than a client waits for more records before it sends those that it has."""

Counts = Callable[[tuple[object, ...], object], bool]
"""Whether a call counts, by its arguments (self first) and its result; before the call there is none."""


@dataclass(frozen=True, slots=True)
class KillPlan:
    """
    Where one process is to end: at the *occurrence*-th time (from 1) that it comes to *point*.

    sent             SIGSTOP freezes it instead
    settled_seconds  first, what else goes on in the process has that time to come to rest: a frozen process that is in
                     a transaction besides would keep the database locked, and nobody could take over
    """

    point: str
    occurrence: int
    log: Path
    sent: Signals = SIGKILL
    settled_seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.point} #{self.occurrence}"


class Trigger:
    """Counts the occurrences of a plan's point, and ends the process at the one that was asked for."""

    def __init__(self, plan: KillPlan) -> None:
        self._plan = plan
        self._seen = 0

    async def come_to(self, detail: str = "") -> None:
        """As `reached`, for a place where others can be waited for."""
        if self._seen + 1 == self._plan.occurrence:
            await anyio.sleep(self._plan.settled_seconds)
        self.reached(detail)

    def come_to_in_thread(self) -> None:
        """The same in a thread, and long enough for a client to send what it has."""
        if self._seen + 1 == self._plan.occurrence:
            time.sleep(max(_THREAD_SECONDS, self._plan.settled_seconds))
        self.reached()

    def reached(self, detail: str = "") -> None:
        self._seen += 1
        if self._seen != self._plan.occurrence:
            return
        with self._plan.log.open("a", encoding="utf-8") as log:
            log.write(f"{self._plan} pid {os.getpid()} {detail}".rstrip() + "\n")
            log.flush()
            os.fsync(log.fileno())
        os.kill(os.getpid(), self._plan.sent)


@dataclass(frozen=True, slots=True)
class Place:
    """Before or behind the calls of a method that count."""

    owner: type
    method: str
    counts: Counts
    before: bool = False

    def arm(self, trigger: Trigger) -> None:
        """Wraps the method in this process."""
        original = getattr(self.owner, self.method)
        wrapped = self._async(original, trigger) if iscoroutinefunction(original) else self._plain(original, trigger)
        setattr(self.owner, self.method, wrapped)

    def _async(self, original: AsyncMethod, trigger: Trigger) -> AsyncMethod:
        async def wrapped(*arguments: object, **options: object) -> object:
            if self.before and self.counts(arguments, None):
                await trigger.come_to()
            result = await original(*arguments, **options)
            if not self.before and self.counts(arguments, result):
                await trigger.come_to(f"behind {len(result)}" if isinstance(result, list) else "")
            return result

        return wrapped

    def _plain(self, original: Method, trigger: Trigger) -> Method:
        """Of a method in a thread of its own, where nobody else can be waited for."""

        def wrapped(*arguments: object, **options: object) -> object:
            result = original(*arguments, **options)
            if self.counts(arguments, result):
                trigger.come_to_in_thread()
            return result

        return wrapped


def _is_of(handler: str) -> Counts:
    def counts(arguments: tuple[object, ...], _: object) -> bool:
        invocation = arguments[0]
        return isinstance(invocation, Invocation) and invocation.definition.name.endswith(handler)

    return counts


def _has(index: int) -> Counts:
    """The argument at *index* holds something."""
    return lambda arguments, _: bool(arguments[index])


def _is_ahead(arguments: tuple[object, ...], _: object) -> bool:
    lanes = arguments[0]
    return isinstance(lanes, Lanes) and lanes.held > lanes.unfinished > 0


def _is_of_a_lane(arguments: tuple[object, ...], _: object) -> bool:
    return isinstance(arguments[1], LaneFence)


def _always(*_: object) -> bool:
    return True


def _result(_: tuple[object, ...], result: object) -> bool:
    return bool(result)


PLACES: Final = {
    "command decided, nothing committed": [Place(Outbox, "add", _has(2))],
    "committed, not published": [Place(Outbox, "claim", _result)],
    "about to be published": [Place(KafkaTransactionalProducer, "publish", _has(1), before=True)],
    "written, the log's transaction open": [Place(KafkaTransactionalProducer, "_queue", _always)],
    "published, not deleted": [Place(KafkaTransactionalProducer, "publish", _result)],
    "deleted, not committed": [Place(Outbox, "delete", _has(4))],
    "slot leased, not taken over in the log": [Place(SlotLeases, "acquire", _result)],
    "slot taken over in the log, lease not renewed": [Place(KafkaTransactionalProducer, "take_over", _always)],
    "lease renewed, not committed": [Place(SlotLeases, "renew", _result)],
    "message admitted, not handled": [Place(Inbox, "admit", _result)],
    "in the middle of a batch of handlers": [Place(Invocation, "within", _is_of("take_effect"))],
    "in the dead letters, not committed": [Place(DeadLetters, "add", _has(2))],
    "handled and committed, group offset not": [Place(EventDelivery, "apply", _has(2))],
    "in the middle of a projection batch": [Place(RowTable, "write", _has(3))],
    "projected and committed, group offset not": [Place(ProjectionRunner, "apply", _has(2))],
    "given up, not committed": [Place(GivingUp, "keep", _always)],
    "waiting, not committed": [Place(Parking, "add", _has(2))],
    "letter handled, not committed": [Place(LetterRetries, "remove", _always)],
    "failure of a letter noted, not committed": [Place(LetterRetries, "failed", _result)],
    "waiting events handled, not committed": [Place(Parking, "remove", _has(2))],
    "key freed, not committed": [Place(Parking, "free", _result)],
    "in the middle of a lane": [Place(Invocation, "within", _is_of("count_in_lanes"))],
    "done ahead of the checkpoint": [Place(Lanes, "finish", _is_ahead)],
    "the checkpoint is moved, not committed": [Place(Checkpoints, "advance", _always)],
    "before a lane's batch, or one of a projection": [
        Place(Batches, "apply", _is_of_a_lane, before=True),
        Place(ProjectionRunner, "apply", _has(2), before=True),
    ],
    "before a batch of handlers or of a projection": [
        Place(EventDelivery, "apply", _has(2), before=True),
        Place(ProjectionRunner, "apply", _has(2), before=True),
    ],
}
"""The points that are places in the code. Those of a rebuild are shares of its way: `rebuild 30 %`."""

_REBUILD: Final = "rebuild "


def arm(plan: KillPlan) -> Callable[[RebuildProgress], None]:
    """Makes this process end by the plan; what is returned is to be told the progress of a rebuild."""
    trigger = Trigger(plan)
    if not plan.point.startswith(_REBUILD):
        for place in PLACES[plan.point]:
            place.arm(trigger)
        return lambda progress: None
    where = plan.point.removeprefix(_REBUILD)

    def told(progress: RebuildProgress) -> None:
        share = progress.done / progress.total if progress.total else 0.0
        is_there = share >= int(where.removesuffix(" %")) / 100 if where.endswith(" %") else progress.phase == where
        if is_there and progress.phase != "live":
            trigger.reached(f"{progress.phase} {progress.done} of {progress.total}")

    return told
