"""
The composition root: data directory, state, listener and background work put together, and taken apart in order.

Start   the address is bound first (a taken port leaves the directory untouched), then the directory is locked and
        recovered, then connections are accepted
Stop    no new connections or requests; parked fetches are answered with what there is; what is queued is sent, for
        STOP_SECONDS at most; then logs are synced and closed, checkpoints written, and the clean-shutdown mark left
"""

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

from broker.clock import Clock, SystemClock
from broker.config import BrokerConfig
from broker.delayed import Purgatory
from broker.groups import GroupCoordinator
from broker.handlers.context import ApiHandler, BrokerState
from broker.handlers.table import TABLE
from broker.server.alarm import Alarm
from broker.server.background import Checkpoints, Retention
from broker.server.compactor import Compactor
from broker.server.connection import Connection, ConnectionLimits
from broker.server.dispatch import Dispatcher
from broker.server.listener import Listener
from broker.server.offset_log import GroupTransactions, PartitionOffsetLog
from broker.server.request_counts import RequestCounts
from broker.server.transaction_log import PartitionTransactionLog
from broker.server.workers import Workers
from broker.storage import DataDirectory, DiskFileSystem, FileSystem
from broker.topics import Catalog, FlushGroup, remove_directories
from broker.transactions import PartitionMarkers, TransactionCoordinator

LOG = logging.getLogger("broker.server")

STOP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """What a broker is started with. `advertised` is what clients are told; port 0 there means the listening one."""

    data_dir: Path
    config: BrokerConfig
    advertised_host: str
    advertised_port: int


class Broker:
    """A broker on a bound socket. Make it and stop it on the loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: BrokerSettings,
        listening: socket.socket,
        *,
        clock: Clock | None = None,
        files: FileSystem | None = None,
    ) -> None:
        self._loop = loop
        clock = clock or SystemClock()
        files = files or DiskFileSystem()
        config = settings.config
        self._directory = DataDirectory.open(settings.data_dir, files=files, node_id=config.node_id)
        self._workers = Workers(loop)
        fetches = Purgatory()
        catalog = Catalog(self._directory, files=files, clock=clock, config=config, parked=fetches)
        flushes = FlushGroup(self._workers, clock)
        port: int = listening.getsockname()[1]
        offset_log = PartitionOffsetLog(
            catalog,
            self._workers,
            flushes,
            segment_bytes=config.offsets_topic_segment_bytes,
            partitions=config.offsets_topic_num_partitions,
        )
        groups = GroupCoordinator(log=offset_log, clock=clock, config=config, topics=catalog)
        loaded = groups.load()
        if loaded.records:
            LOG.info("groups loaded groups=%d offsets=%d records=%d", loaded.groups, loaded.offsets, loaded.records)
        transactions = TransactionCoordinator(
            log=PartitionTransactionLog(
                catalog,
                self._workers,
                flushes,
                segment_bytes=config.transaction_state_log_segment_bytes,
                partitions=config.transaction_state_log_num_partitions,
            ),
            participants=PartitionMarkers(
                catalog=catalog, flushes=flushes, groups=GroupTransactions(groups), clock=clock
            ),
            new_producer_id=catalog.producer_ids.allocate,
            clock=clock,
            config=config,
        )
        found = transactions.load()
        if found.ids:
            LOG.info(
                "transactions loaded ids=%d open=%d completed=%d freed=%d",
                found.ids,
                found.open,
                found.completed,
                found.freed,
            )
        if found.unreadable:
            LOG.error("records of __transaction_state passed over count=%d reason=unreadable", found.unreadable)
        self.state = BrokerState(
            node_id=config.node_id,
            cluster_id=self._directory.cluster_id,
            host=settings.advertised_host,
            port=settings.advertised_port or port,
            config=config,
            clock=clock,
            files=files,
            data_dir=settings.data_dir,
            catalog=catalog,
            groups=groups,
            transactions=transactions,
            fetches=fetches,
            flushes=flushes,
            background=self._workers,
        )
        self._workers.run(partial(remove_directories, catalog.take_doomed(), files), lambda _outcome: None)
        self.retention = Retention(self.state)
        self.compactor = Compactor(self.state)
        self._alarm = Alarm(
            loop,
            clock,
            [
                fetches,
                groups,
                transactions,
                flushes,
                self.retention,
                self.compactor,
                Checkpoints(self.state),
            ],
        )
        self._dispatcher = Dispatcher(self.state, self._alarm.refresh)
        self._alarm.refresh()
        self.listener = Listener(
            loop,
            listening,
            self._dispatcher.handle,
            self._dispatcher.turn_ended,
            on_admitted=self._admitted,
            limits=ConnectionLimits(
                frame_bytes_max=config.socket_request_max_bytes,
                in_flight_max=config.max_in_flight_requests_per_connection,
                queued_bytes_max=config.connection_unsent_max_bytes,
            ),
            in_flight_bytes_max=config.queued_max_request_bytes,
            connections_max=config.max_connections,
            connections_per_address_max=config.max_connections_per_ip,
            idle_s=config.connections_max_idle_ms / 1000 if config.connections_max_idle_ms >= 0 else None,
            backlog=config.socket_listen_backlog_size,
        )
        # What is there now stays: the collector need not look at it again and again.
        gc.freeze()
        gc.enable()
        loop.call_soon(self._load_handlers, iter(TABLE.values()))

    @property
    def request_counts(self) -> RequestCounts:
        return self._dispatcher.counts

    def _admitted(self, connection: Connection) -> None:
        """What is parked for a connection goes with it: no answer may reach who gets its descriptor number next."""
        connection.close_callbacks.append(partial(self.state.fetches.detach, connection))
        connection.close_callbacks.append(partial(self.state.groups.detach, connection))

    def _load_handlers(self, left: Iterator[ApiHandler]) -> None:
        """
        Imports the handlers one by one, between other work: all of them soon after the start, and none in a week, from
        files that an upgrade has exchanged meanwhile.
        """
        row = next(left, None)
        if row is not None:
            row.load()
            self._loop.call_soon(self._load_handlers, left)
        else:
            import_module("broker.handlers.repeated_produce")

    def clean(self) -> None:
        """Applies retention, and compacts what is due, now instead of at the next check."""
        LOG.info("retention and compaction asked for")
        now = self.state.clock.monotonic()
        self.retention.expire(now)
        self.compactor.expire(now)

    async def stop(self) -> None:
        """A clean stop; when it returns, the data directory can be opened by another process."""
        LOG.info("stopping connections=%d", len(self.listener.connections))
        self.state.stopping = True
        self.listener.stop_accepting()
        self._alarm.stop()
        self.state.fetches.expire_all()
        self.state.groups.stop()
        for connection in list(self.listener.connections):
            connection.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.listener.all_closed.wait(), STOP_SECONDS)
        for connection in list(self.listener.connections):
            connection.close(None)
        self._workers.close()
        # Flushes that a worker has finished hand their outcome over in the loop's next turn.
        await asyncio.sleep(0)
        clean = self.state.catalog.close(clean=True)
        self.state.catalog.write_checkpoints()
        self._directory.close(clean=clean)
        LOG.info("stopped")
