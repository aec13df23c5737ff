"""A broker without sockets and without an event loop: floors 1 to 6 on a manual clock."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from broker.clock import ManualClock
from broker.config import BrokerConfig
from broker.delayed import Purgatory
from broker.groups import GroupCoordinator
from broker.handlers.context import BrokerState, RequestContext
from broker.handlers.pending import Pending
from broker.handlers.table import TABLE
from broker.records import NewRecord, build_batch
from broker.server.offset_log import GroupTransactions, PartitionOffsetLog
from broker.server.transaction_log import PartitionTransactionLog
from broker.storage import DataDirectory, DiskFileSystem, FileSystem
from broker.topics import Background, Catalog, FlushGroup, InlineBackground
from broker.transactions import PartitionMarkers, TransactionCoordinator
from broker.wire.declaration import Request, Response

R = TypeVar("R", bound=Response)
T = TypeVar("T")


class HeldBackground:
    """Background work that waits until the test lets it go."""

    def __init__(self) -> None:
        self.held: list[Callable[[], None]] = []

    def run(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        self.held.append(lambda: done(work()))

    def soon(self, work: Callable[[], None]) -> None:
        self.held.append(work)

    def release(self) -> None:
        """Does everything that is held now; what that adds is held again."""
        held, self.held = self.held, []
        for work in held:
            work()


class InProcessBroker:
    """`call` runs a request through the table of handlers."""

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: dict[str, str] | None = None,
        files: FileSystem | None = None,
        background: Background | None = None,
        clock: ManualClock | None = None,
    ) -> None:
        self.clock = clock or ManualClock()
        files = files or DiskFileSystem()
        config = BrokerConfig.parse(settings or {})
        self.directory = DataDirectory.open(data_dir, files=files)
        background = background or InlineBackground()
        parked = Purgatory()
        catalog = Catalog(self.directory, files=files, clock=self.clock, config=config, parked=parked)
        flushes = FlushGroup(background, self.clock)
        log = PartitionOffsetLog(catalog, background, flushes, segment_bytes=1 << 20, partitions=1)
        groups = GroupCoordinator(log=log, clock=self.clock, config=config, topics=catalog)
        groups.load()
        transactions = TransactionCoordinator(
            log=PartitionTransactionLog(catalog, background, flushes, segment_bytes=1 << 20, partitions=1),
            participants=PartitionMarkers(
                catalog=catalog, flushes=flushes, groups=GroupTransactions(groups), clock=self.clock
            ),
            new_producer_id=catalog.producer_ids.allocate,
            clock=self.clock,
            config=config,
        )
        transactions.load()
        self.state = BrokerState(
            node_id=1,
            cluster_id=self.directory.cluster_id,
            host="127.0.0.1",
            port=9092,
            config=config,
            clock=self.clock,
            files=files,
            data_dir=data_dir,
            catalog=catalog,
            groups=groups,
            transactions=transactions,
            fetches=parked,
            flushes=flushes,
            background=background,
        )

    def call(self, request: Request, answer: type[R], version: int | None = None, owner: object = "test") -> R:
        """The answer to *request*, which must be there at once."""
        found = self.ask(request, version, owner)
        if isinstance(found, Pending):
            answers: list[Response | None] = []
            found.then(answers.append)
            assert answers, "the answer is parked"
            found = answers[0]
        assert isinstance(found, answer)
        return found

    def ask(self, request: Request, version: int | None = None, owner: object = "test") -> object:
        """What the handler gives: an answer, a pending one, or none."""
        row = TABLE[request.api.key]
        context = RequestContext(
            self.state, row.api.highest if version is None else version, "client", "127.0.0.1", owner
        )
        return row.handle(context, request)

    def close(self, *, clean: bool = True) -> None:
        self.state.catalog.close(clean=clean)
        self.state.catalog.write_checkpoints()
        self.directory.close(clean=clean)


def batch(*values: bytes, timestamp: int = 1_700_000_000_000, **fields: int) -> memoryview:
    """One batch with these values."""
    return memoryview(build_batch([NewRecord(b"key", value) for value in values], timestamp=timestamp, **fields))


@pytest.fixture
def in_process(tmp_path: Path) -> Iterator[InProcessBroker]:
    broker = InProcessBroker(tmp_path / "data")
    yield broker
    broker.close()
