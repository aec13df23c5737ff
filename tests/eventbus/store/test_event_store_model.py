"""
The event store against a model: dictionaries, for any sequence of appends, conflicts, rollbacks and loads.
"""

import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import hypothesis.strategies as st
import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from eventbus.database import Database
from eventbus.errors import ConcurrencyConflict
from eventbus.messages import Envelope
from eventbus.store import Append, EventStore, StoredEvent

Result = TypeVar("Result")
STREAMS = st.sampled_from(["Order-1", "Order-2", "Order-é", "Order-"])


def events(values: list[bytes]) -> list[StoredEvent]:
    now = datetime.now(UTC)
    return [StoredEvent(Envelope(str(uuid.uuid4()), "Placed", 1, "shop", now), value) for value in values]


class EventStoreMachine(RuleBasedStateMachine):
    """Each step runs on a real SQLite file; the model holds what committed and what the open transaction has added."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.ending = contextlib.ExitStack()
        self.portal = self.ending.enter_context(start_blocking_portal())
        self.directory = Path(tempfile.mkdtemp())
        shutil.copyfile(self.template, self.directory / "store.sqlite3")
        self.database = Database.from_url(f"sqlite:///{self.directory}/store.sqlite3")
        self.store = EventStore()
        self.committed: dict[str, list[bytes]] = {}
        self.open: dict[str, list[bytes]] | None = None

    def run(self, step: Coroutine[object, object, Result]) -> Result:
        async def awaited() -> Result:
            return await step

        return self.portal.call(awaited)

    @initialize()
    def begin_with_nothing(self) -> None:
        assert self.run(self._load("Order-1")) == []

    @precondition(lambda self: self.open is None)
    @rule()
    def begin(self) -> None:
        # Entered and left in one task of the loop's, as a transaction has to be.
        self.transaction = self.portal.wrap_async_context_manager(self.database.transaction())
        self.connection = self.transaction.__enter__()
        self.open = {stream: list(values) for stream, values in self.committed.items()}

    @precondition(lambda self: self.open is not None)
    @rule(
        wanted=st.dictionaries(
            STREAMS,
            st.tuples(st.sampled_from([-1, 0, 0, 0, 0, 1]), st.lists(st.binary(max_size=8), min_size=1, max_size=3)),
            min_size=1,
        )
    )
    def append(self, wanted: dict[str, tuple[int, list[bytes]]]) -> None:
        """Appends to some streams, each at its version or beside it."""
        assert self.open is not None
        versions = {stream: len(self.open.get(stream, [])) for stream in wanted}
        appends = [
            Append(stream, max(0, versions[stream] + error), events(values), "Order")
            for stream, (error, values) in wanted.items()
        ]
        wrong = [one for one in appends if one.expected_version != versions[one.stream]]
        if wrong:
            with pytest.raises(ConcurrencyConflict) as raised:
                self.run(self.store.append(self.connection, appends))
            conflict = raised.value
            assert (conflict.stream, conflict.expected) in {(one.stream, one.expected_version) for one in wrong}
            assert conflict.actual == versions[conflict.stream]
        else:
            self.run(self.store.append(self.connection, appends))
            for stream, (_, values) in wanted.items():
                self.open.setdefault(stream, []).extend(values)

    @precondition(lambda self: self.open is not None)
    @rule(stream=STREAMS, after=st.integers(0, 5))
    def load_inside(self, stream: str, after: int) -> None:
        assert self.open is not None
        found = self.run(self.store.load(self.connection, stream, after_version=after))
        assert [event.data for event in found] == self.open.get(stream, [])[after:]
        assert [event.version for event in found] == [after + 1 + number for number in range(len(found))]

    @precondition(lambda self: self.open is not None)
    @rule()
    def commit(self) -> None:
        assert self.open is not None
        self.transaction.__exit__(None, None, None)
        self.committed, self.open = self.open, None

    @precondition(lambda self: self.open is not None)
    @rule()
    def roll_back(self) -> None:
        assert not self.transaction.__exit__(RuntimeError, RuntimeError("no"), None)
        self.open = None

    @invariant()
    def readers_see_what_was_committed(self) -> None:
        for stream in ("Order-1", "Order-é"):
            assert self.run(self._load(stream)) == self.committed.get(stream, [])

    def teardown(self) -> None:
        if self.open is not None:
            self.roll_back()
        self.run(self.database.aclose())
        self.ending.close()
        shutil.rmtree(self.directory)

    async def _load(self, stream: str) -> list[bytes]:
        async with self.database.reading() as connection:
            return [event.data for event in await self.store.load(connection, stream)]


def test_the_event_store_behaves_as_its_model(sqlite_template: Path) -> None:
    """Whatever the order of appends, conflicts, commits and rollbacks."""

    class Machine(EventStoreMachine):
        template = sqlite_template

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
