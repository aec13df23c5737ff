"""
Group commit against a model: any mix of units that are committed at the same time, lazy and eager, on both databases.
"""

import contextlib
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import anyio
import hypothesis.strategies as st
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from eventbus.database import Database
from eventbus.database.tables import outbox
from eventbus.errors import ConcurrencyConflict
from eventbus.messages import Event, Metadata
from eventbus.store import CommandRepeated, EventStore, Expect, ExpectedVersion, Transactions

Result = TypeVar("Result")


class Noted(Event):
    text: str


@dataclass(frozen=True)
class Wanted:
    """A unit: by how much it is wrong about each of its streams' versions (None: any will do), and how it commits."""

    streams: dict[str, int | None]
    events: int
    command: str | None
    is_lazy: bool


UNITS = st.builds(
    Wanted,
    streams=st.dictionaries(
        st.sampled_from(["a", "b", "c", "d"]), st.sampled_from([0, 0, 0, 0, 0, -1, 1, None]), min_size=1, max_size=3
    ),
    events=st.integers(1, 3),
    command=st.sampled_from([None, None, None, "x", "y"]),
    is_lazy=st.sampled_from([True, True, True, False]),
)


class GroupCommitMachine(RuleBasedStateMachine):
    """
    Each step commits some units at once. Which of the competing ones wins is not the model's to say; that the winners
    can be put in one order, in which each of them found what it expected, is.
    """

    url: str

    def __init__(self) -> None:
        super().__init__()
        self.ending = contextlib.ExitStack()
        self.portal = self.ending.enter_context(start_blocking_portal())
        self.run_id = uuid.uuid4().hex[:8]
        self.database = Database.from_url(self.url)
        self.transactions = Transactions(self.database, "shop")
        self.streams: dict[str, list[str]] = {}
        self.commands: dict[str, str] = {}

    def run(self, step: Coroutine[object, object, Result]) -> Result:
        async def awaited() -> Result:
            return await step

        return self.portal.call(awaited)

    @rule(units=st.lists(UNITS, min_size=1, max_size=8))
    def commit_at_once(self, units: list[Wanted]) -> None:
        outcomes = self.run(self._commit(units))
        before = {stream: list(texts) for stream, texts in self.streams.items()}
        after = self.run(self._load())
        winners = [number for number, outcome in enumerate(outcomes) if outcome is None]
        for stream, texts in after.items():
            known = before.get(stream, [])
            assert texts[: len(known)] == known
            added = texts[len(known) :]
            # Whole units, one behind the other, each of a winner; of an exact one, where it expected it.
            while added:
                number = int(added[0].split("/")[0])
                unit = units[number]
                assert number in winners
                error = unit.streams[stream]
                assert error is None or len(known) == max(0, len(before.get(stream, [])) + error)
                assert added[: unit.events] == [f"{number}/{at}" for at in range(unit.events)]
                known, added = known + added[: unit.events], added[unit.events :]
        for number, (unit, outcome) in enumerate(zip(units, outcomes, strict=True)):
            for stream in unit.streams:
                new = after.get(stream, [])[len(before.get(stream, [])) :]
                assert (f"{number}/0" in new) == (outcome is None)
            if isinstance(outcome, ConcurrencyConflict):
                assert outcome.actual is None or outcome.expected != outcome.actual
            elif isinstance(outcome, CommandRepeated):
                assert unit.command is not None
                first = self.commands.get(unit.command)
                assert outcome.receipt == first if first else units[int(outcome.receipt)].command == unit.command
        for number in winners:
            command = units[number].command
            if command is not None:
                assert command not in self.commands
                self.commands[command] = str(number)
        if not any(units[number].streams for number in winners):
            # Nobody has to lose without a reason: of units that are right, one at least gets through.
            assert not any(self._is_right(unit, before) for unit in units)
        # Written as what they are from here on: the next step numbers its units anew.
        self.streams = after

    @invariant()
    def what_was_committed_was_announced(self) -> None:
        announced, stored = self.run(self._ids())
        assert announced == stored

    def teardown(self) -> None:
        self.run(self.database.aclose())
        self.ending.close()

    def _is_right(self, unit: Wanted, before: dict[str, list[str]]) -> bool:
        repeats = unit.command is not None and unit.command in self.commands
        return not repeats and all(
            error in {0, None} or max(0, len(before.get(stream, [])) + error) == len(before.get(stream, []))
            for stream, error in unit.streams.items()
        )

    def _name(self, stream: str) -> str:
        return f"Note-{self.run_id}-{stream}"

    async def _commit(self, units: list[Wanted]) -> list[Exception | None]:
        outcomes: list[Exception | None] = [None] * len(units)

        async def commit(number: int, unit: Wanted) -> None:
            metadata = Metadata(str(number), "Note", 1, "shop", datetime.now(UTC))
            try:
                async with self.transactions.begin(lazily=unit.is_lazy) as transaction:
                    work = transaction.unit_of_work(metadata)
                    for stream, error in unit.streams.items():
                        version = len(self.streams.get(stream, []))
                        expected: ExpectedVersion = Expect.ANY if error is None else max(0, version + error)
                        events = [Noted(text=f"{number}/{at}") for at in range(unit.events)]
                        work.append(
                            self._name(stream), expected, events, topic="notes", key=stream, category=self.run_id
                        )
                    await work.complete()
                    if unit.command is not None:
                        transaction.remember_command(f"{self.run_id}:{unit.command}", str(number))
            except (ConcurrencyConflict, CommandRepeated) as error:
                outcomes[number] = error

        async with anyio.create_task_group() as tasks:
            for number, unit in enumerate(units):
                tasks.start_soon(commit, number, unit)
        return outcomes

    async def _load(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        async with self.database.reading() as connection:
            for stream in "abcd":
                events = await EventStore().load(connection, self._name(stream))
                assert [event.version for event in events] == list(range(1, len(events) + 1))
                found[stream] = [Noted.model_validate_json(event.data).text for event in events]
        return found

    async def _ids(self) -> tuple[set[str], set[str]]:
        async with self.database.reading() as connection:
            rows = await connection.execute(select(outbox.c.id).where(outbox.c.aggregatetype == self.run_id))
            stored = await EventStore().read_category(connection, self.run_id, limit=10_000)
        return set(rows.scalars()), {event.envelope.id for event in stored}


def test_group_commit_behaves_as_its_model(database_url: str) -> None:
    """Whatever is committed at the same time: winners in one order, losers with a reason, nothing in halves."""

    class Machine(GroupCommitMachine):
        url = database_url

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=8,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
