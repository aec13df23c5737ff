"""
The page of /metrics, made from the broker's state when it is asked for.

What happens often is counted where it happens, as plain integers; what can be looked up (logs, groups, transactions,
the process) is looked up now: a scrape costs some milliseconds with a thousand partitions.

Labels  `topic` for TOPICS_MAX topics, those with the largest logs; the others are summed up under topic="(others)",
        which no topic can be called. Nothing else that clients choose is a label.
"""

import shutil
from collections import Counter
from collections.abc import Iterable

from broker.errors import ErrorCode
from broker.server import request_counts
from broker.server.broker import Broker
from broker.server.metrics import loop_lag
from broker.server.metrics.exposition import Exposition
from broker.server.metrics.loop_lag import LoopLag
from broker.server.metrics.process import process_use
from broker.server.metrics.topic_use import OTHERS, TopicUse, topic_uses
from broker.transactions import TransactionState
from broker.version import VERSION

TOPICS_MAX = 200


class Collector:
    """Reads everything, changes nothing. On the loop's thread."""

    def __init__(self, broker: Broker, lag: LoopLag) -> None:
        self._broker = broker.state
        self._listener = broker.listener
        self._counts = broker.request_counts
        self._retention = broker.retention
        self._compactor = broker.compactor
        self._lag = lag

    def page(self) -> str:
        page = Exposition()
        page.gauge("broker_info", "The version that runs, as a label.")
        page.sample("broker_info", {"version": VERSION, "cluster_id": self._broker.cluster_id}, 1)
        self._requests(page)
        self._connections(page)
        self._topics(page)
        self._groups(page)
        self._transactions(page)
        self._background(page)
        self._process(page)
        return page.text()

    def _requests(self, page: Exposition) -> None:
        used = {
            key.name.lower(): counts
            for key, counts in self._counts.by_api.items()
            if counts.failed or any(counts.buckets)
        }
        page.histogram("broker_request_seconds", "From the whole frame to its answer; what a fetch waits is in it.")
        for api, counts in used.items():
            page.buckets(
                "broker_request_seconds", {"api": api}, request_counts.BOUNDS_S, counts.buckets, counts.seconds
            )
        page.counter("broker_requests_failed_total", "Requests that closed their connection: unreadable, or our fault.")
        for api, counts in used.items():
            page.sample("broker_requests_failed_total", {"api": api}, counts.failed)
        page.sample("broker_requests_failed_total", {"api": "unknown"}, self._counts.unreadable)
        page.counter("broker_errors_total", "Error codes in answers, by their names in the protocol.")
        for (key, code), count in self._broker.errors.items():
            page.sample("broker_errors_total", {"api": key.name.lower(), "error": _error_name(code)}, count)
        page.gauge("broker_parked_fetches", "Fetches that wait for data.", len(self._broker.fetches))

    def _connections(self, page: Exposition) -> None:
        listener = self._listener
        page.gauge("broker_connections", "Open connections of clients.", len(listener.connections))
        page.counter("broker_connections_accepted_total", "Connections of clients.", listener.accepted)
        page.counter("broker_connections_refused_total", "Closed at once: a limit was reached.", listener.refused)
        page.counter("broker_received_bytes_total", "Bytes from clients.", listener.received_bytes)
        page.counter("broker_sent_bytes_total", "Bytes to clients.", listener.sent_bytes)

    def _topics(self, page: Exposition) -> None:
        catalog = self._broker.catalog
        uses = bounded(topic_uses(catalog))
        page.gauge("broker_topics", "Topics, those of the broker itself included.", len(catalog))
        page.gauge("broker_partitions", "Partitions.", sum(use.partitions for use in uses))
        page.gauge(
            "broker_offline_partitions",
            "Partitions that take no appends until the broker starts again: the disk failed.",
            sum(use.offline for use in uses),
        )
        for name, text, values in (
            (
                "broker_topic_appended_records_total",
                "Records appended since the start.",
                [u.appended_records for u in uses],
            ),
            (
                "broker_topic_appended_bytes_total",
                "Bytes of batches appended since the start.",
                [u.appended_bytes for u in uses],
            ),
            (
                "broker_topic_fetched_bytes_total",
                "Bytes of batches answered since the start.",
                [u.fetched_bytes for u in uses],
            ),
        ):
            page.counter(name, text)
            for use, value in zip(uses, values, strict=True):
                page.sample(name, {"topic": use.topic}, value)
        for name, text, values in (
            ("broker_topic_log_bytes", "Bytes of the log, without its indexes.", [u.log_bytes for u in uses]),
            ("broker_topic_segments", "Segments of the log.", [u.segments for u in uses]),
            ("broker_topic_offsets", "Offsets from the start to the end of the log.", [u.offsets for u in uses]),
        ):
            page.gauge(name, text)
            for use, value in zip(uses, values, strict=True):
                page.sample(name, {"topic": use.topic}, value)

    def _groups(self, page: Exposition) -> None:
        census = self._broker.groups.census()
        page.gauge("broker_groups", "Groups by type and state.")
        for (kind, state), count in sorted(census.groups.items()):
            page.sample("broker_groups", {"type": kind, "state": state}, count)
        page.gauge("broker_group_members", "Members of all groups.", census.members)
        page.gauge(
            "broker_group_generations",
            "Generations of all groups, summed up: every rebalance adds one, a group that goes takes its own away.",
            census.generations,
        )

    def _transactions(self, page: Exposition) -> None:
        transactions = self._broker.transactions
        page.gauge("broker_transactional_ids", "Transactional ids by state.")
        for state, count in sorted(_states(transactions.states()).items()):
            page.sample("broker_transactional_ids", {"state": state}, count)
        page.counter("broker_transactions_ended_total", "Transactions ended since the start.")
        page.sample("broker_transactions_ended_total", {"outcome": "committed"}, transactions.committed)
        page.sample("broker_transactions_ended_total", {"outcome": "aborted"}, transactions.aborted)

    def _background(self, page: Exposition) -> None:
        page.counter(
            "broker_flush_rounds_total", "Rounds of fsync that appends waited for.", self._broker.flushes.rounds
        )
        page.counter("broker_retention_runs_total", "Rounds over all partitions.", self._retention.runs)
        page.counter("broker_retention_segments_total", "Segments deleted by retention.", self._retention.segments)
        page.counter("broker_compactions_total", "Logs compacted.", self._compactor.compactions)
        page.counter(
            "broker_compaction_records_dropped_total", "Records that compaction dropped.", self._compactor.dropped
        )
        page.histogram("broker_loop_lag_seconds", "How late the loop's thread came to a timer, four times a second.")
        page.buckets("broker_loop_lag_seconds", {}, loop_lag.BOUNDS_S, self._lag.buckets, self._lag.seconds)

    def _process(self, page: Exposition) -> None:
        disk = shutil.disk_usage(self._broker.data_dir)
        page.gauge("broker_disk_free_bytes", "Free on the disk of the data directory.", disk.free)
        page.gauge("broker_disk_size_bytes", "Size of the disk of the data directory.", disk.total)
        use = process_use()
        page.counter("process_cpu_seconds_total", "CPU time, user and system.", use.cpu_seconds)
        page.gauge("process_resident_memory_bytes", "Resident memory.", use.resident_bytes)
        if use.descriptors is not None:
            page.gauge("process_open_fds", "Open file descriptors.", use.descriptors)
        page.gauge("process_max_fds", "File descriptors that there may be.", use.descriptors_max)


def bounded(uses: Iterable[TopicUse]) -> list[TopicUse]:
    """The TOPICS_MAX with the largest logs, and one for the others."""
    largest = sorted(uses, key=lambda use: (-use.log_bytes, use.topic))
    others = largest[TOPICS_MAX:]
    if not others:
        return largest
    summed = TopicUse(OTHERS)
    for use in others:
        summed.add(use)
    return [*largest[:TOPICS_MAX], summed]


def _states(states: Iterable[TransactionState]) -> dict[str, int]:
    return dict(Counter(state.value for state in states))


def _error_name(code: int) -> str:
    try:
        return ErrorCode(code).name
    except ValueError:
        return str(code)
