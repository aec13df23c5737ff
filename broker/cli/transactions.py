"""`broker transactions …`: librdkafka has no calls for them, so the brokers are asked in the protocol itself."""

import time
from argparse import Namespace

from confluent_kafka import KafkaException

from broker.cli.at import cluster_of
from broker.cli.cluster import REQUEST_SECONDS, Cluster, sounding_like
from broker.cli.nodes import Node
from broker.cli.output import JsonValue, Row, print_json, print_line, print_note, print_rows, print_table, time_text
from broker.cli.refused import Refused
from broker.errors import ErrorCode
from broker.wire.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from broker.wire.messages.transaction_admin import (
    DescribedTransaction,
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    ListTransactionsRequest,
    ListTransactionsResponse,
)

_TRANSACTION_KEY = 1
_FIND_COORDINATOR_VERSION = 3
_OPEN = frozenset({"Ongoing", "PrepareCommit", "PrepareAbort"})


def list_transactions(parsed: Namespace) -> int:
    cluster = cluster_of(parsed)
    states: list[str] = parsed.state
    rows: list[Row] = [
        {"transactional_id": name, "state": state, "producer": producer}
        for name, (state, producer) in sorted(_listed(cluster, states).items())
    ]
    print_rows(rows, as_json=parsed.json, empty=f"There are no transactional ids at {cluster.bootstrap}.")
    return 0


def describe_transactions(parsed: Namespace) -> int:
    cluster = cluster_of(parsed)
    names: list[str] = parsed.transactional_ids
    rows: list[dict[str, JsonValue]] = [_row(_describe(cluster, name)) for name in names]
    if parsed.json:
        print_json(rows)
        return 0
    for row in rows:
        print_line(f"transactional id {row['transactional_id']}")
        print_table([{"": key.replace("_", " "), "value": value} for key, value in row.items()][1:])
    return 0


def abort_transaction(parsed: Namespace) -> int:
    """Takes the id over, which fences its producer and aborts what that one has open, and lets it go again."""
    cluster = cluster_of(parsed)
    name: str = parsed.transactional_id
    found = _describe(cluster, name)
    executes: bool = parsed.execute
    if found.transaction_state not in _OPEN:
        raise Refused(f"transactional id {name!r} is {found.transaction_state}: it has no transaction open")
    if executes:
        options: dict[str, str | int] = {
            "transactional.id": name,
            "transaction.timeout.ms": found.transaction_timeout_ms,
        }
        producer = cluster.producer(options)
        try:
            producer.init_transactions(REQUEST_SECONDS)
        except KafkaException as error:
            raise cluster.refusal(error, f"transactional id {name!r}") from error
        found = _describe(cluster, name)
    row = _row(found)
    if parsed.json:
        print_json({**row, "aborted": executes})
    else:
        print_table([row])
    print_note(
        f"the transaction of {name} was aborted and its producer is fenced"
        if executes
        else "nothing was changed; --execute aborts it and fences its producer"
    )
    return 0


def _listed(cluster: Cluster, states: list[str]) -> dict[str, tuple[str, int]]:
    _refuse_secured(cluster)
    listed: dict[str, tuple[str, int]] = {}
    for node in cluster.metadata().brokers.values():
        with Node(str(node.host), node.port) as asked:
            answer = asked.ask(ListTransactionsRequest(state_filters=states), ListTransactionsResponse, 0)
        if answer.unknown_state_filters:
            raise Refused(f"--state {answer.unknown_state_filters[0]}: there is no such state; one is Ongoing")
        for each in answer.transaction_states:
            listed[each.transactional_id] = (each.transaction_state, each.producer_id)
    return listed


def _describe(cluster: Cluster, name: str) -> DescribedTransaction:
    _refuse_secured(cluster)
    node = next(iter(cluster.metadata().brokers.values()))
    request = FindCoordinatorRequest(key=name, key_type=_TRANSACTION_KEY)
    with Node(str(node.host), node.port) as asked:
        coordinator = asked.ask(request, FindCoordinatorResponse, _FIND_COORDINATOR_VERSION)
    if coordinator.error_code:
        raise Refused(f"transactional id {name!r}: {ErrorCode(coordinator.error_code).name}")
    with Node(coordinator.host, coordinator.port) as asked:
        answer = asked.ask(DescribeTransactionsRequest(transactional_ids=[name]), DescribeTransactionsResponse, 0)
    (found,) = answer.transaction_states
    if found.error_code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND:
        there = _listed(cluster, [])
        raise Refused(f"there is no transactional id {name!r} at {cluster.bootstrap}{sounding_like(name, there)}")
    if found.error_code:
        raise Refused(f"transactional id {name!r}: {ErrorCode(found.error_code).name}")
    return found


def _row(found: DescribedTransaction) -> dict[str, JsonValue]:
    started = found.transaction_start_time_ms
    return {
        "transactional_id": found.transactional_id,
        "state": found.transaction_state,
        "producer": found.producer_id,
        "epoch": found.producer_epoch,
        "timeout_ms": found.transaction_timeout_ms,
        "started": time_text(started),
        "open_s": round(time.time() - started / 1000, 1) if found.transaction_state in _OPEN and started >= 0 else None,
        "partitions": [f"{topic.topic}-{number}" for topic in found.topics for number in topic.partitions],
    }


def _refuse_secured(cluster: Cluster) -> None:
    if not cluster.is_plaintext:
        raise Refused("transactions are asked in the clear only; security.protocol has to be PLAINTEXT here")
