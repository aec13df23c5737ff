"""InitProducerId and transactions, in both protocols (KIP-98, and KIP-890 from Produce 12 and EndTxn 5 on)."""

from collections.abc import Callable
from typing import cast

from broker.wire.declaration import Message
from broker.wire.messages.transaction_admin import (
    DescribeProducersRequest,
    DescribeProducersTopicRequest,
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    ListTransactionsRequest,
)
from broker.wire.messages.transactions import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
    EndTxnRequest,
    EndTxnResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from tests.interop.differential.building import (
    fetch,
    from_producer,
    init_producer,
    learn_producer,
    list_offsets,
    new_topic,
    produce,
)
from tests.interop.differential.scenario import Ask, Build, Known, Learn, Scenario, Settle, Step
from tests.interop.differential.scenarios.groups import committed

CONCURRENT = 51


def init(transactional_id: str | None, *, timeout_ms: int = 60_000, producer: str = "", epoch: int = 0) -> Build:
    return lambda known: InitProducerIdRequest(
        transactional_id=None if transactional_id is None else known.name(transactional_id) if transactional_id else "",
        transaction_timeout_ms=timeout_ms,
        producer_id=known.number(f"{producer}.id"),
        producer_epoch=known.number(f"{producer}.epoch") + epoch,
    )


def add_partitions(producer: str, *partitions: int, topic: str = "t", epoch: int = 0) -> Build:
    def build(known: Known) -> AddPartitionsToTxnRequest:
        topics = [AddPartitionsToTxnTopic(name=known.name(topic), partitions=partitions)]
        return AddPartitionsToTxnRequest(
            v3_and_below_transactional_id=known.name(producer),
            v3_and_below_producer_id=known.number(f"{producer}.id"),
            v3_and_below_producer_epoch=known.number(f"{producer}.epoch") + epoch,
            v3_and_below_topics=topics,
            transactions=[
                AddPartitionsToTxnTransaction(
                    transactional_id=known.name(producer),
                    producer_id=known.number(f"{producer}.id"),
                    producer_epoch=known.number(f"{producer}.epoch") + epoch,
                    topics=topics,
                )
            ],
        )

    return build


def add_offsets(producer: str, group: str, *, epoch: int = 0) -> Build:
    return lambda known: AddOffsetsToTxnRequest(
        transactional_id=known.name(producer),
        producer_id=known.number(f"{producer}.id"),
        producer_epoch=known.number(f"{producer}.epoch") + epoch,
        group_id=known.name(group),
    )


def commit_offset(
    producer: str, group: str, offset: int, *, epoch: int = 0, member: str = "", generation: int = -1, topic: str = "t"
) -> Build:
    return lambda known: TxnOffsetCommitRequest(
        transactional_id=known.name(producer),
        group_id=known.name(group),
        producer_id=known.number(f"{producer}.id"),
        producer_epoch=known.number(f"{producer}.epoch") + epoch,
        generation_id=generation,
        member_id=member,
        topics=[
            TxnOffsetCommitRequestTopic(
                name=known.name(topic),
                partitions=[
                    TxnOffsetCommitRequestPartition(
                        partition_index=0, committed_offset=offset, committed_metadata="in a transaction"
                    )
                ],
            )
        ],
    )


def end(producer: str, *, commit: bool, epoch: int = 0) -> Build:
    return lambda known: EndTxnRequest(
        transactional_id=known.name(producer),
        producer_id=known.number(f"{producer}.id"),
        producer_epoch=known.number(f"{producer}.epoch") + epoch,
        committed=commit,
    )


def learn_epoch(producer: str) -> Learn:
    """EndTxn v5 tells the epoch of the next transaction."""

    def learn(known: Known, answer: Message) -> None:
        told = cast("EndTxnResponse", answer)
        if told.error_code == 0 and told.producer_id >= 0:
            known.values[f"{producer}.id"], known.values[f"{producer}.epoch"] = told.producer_id, told.producer_epoch

    return learn


def _again(producer: str) -> list[Step]:
    """A new epoch, once the last transaction is complete."""

    def is_there(answer: Message) -> bool:
        return cast("InitProducerIdResponse", answer).error_code != CONCURRENT

    return [Settle(init(producer), is_there, learn=learn_producer(producer), version=4)]


def _complete(producer: str) -> list[Step]:
    """Until the coordinator has written the last transaction's markers."""

    def is_complete(answer: Message) -> bool:
        states = cast("DescribeTransactionsResponse", answer).transaction_states
        return all(state.transaction_state in {"Empty", "CompleteCommit", "CompleteAbort"} for state in states)

    return [Settle(lambda known: DescribeTransactionsRequest(transactional_ids=[known.name(producer)]), is_complete)]


def _written(producer: str, sequence: int, value: bytes, *, partition: int = 0, epoch: int = 0) -> Build:
    data: Callable[[Known], bytearray] = from_producer(producer, sequence, value, epoch=epoch, transactional=True)
    return produce("t", data, partition=partition, transactional_id=producer)


def _status() -> list[Step]:
    """What readers of both kinds see, and what the administrator is told."""
    return [
        Ask(fetch("t", isolation_level=1), versions=[4, 11, 18]),
        Ask(fetch("t", isolation_level=0), versions=[12]),
        Ask(list_offsets("t", -1, isolation_level=1), versions=[5, 11]),
        Ask(list_offsets("t", -1), versions=[5]),
        Ask(
            lambda known: DescribeProducersRequest(
                topics=[DescribeProducersTopicRequest(name=known.name("t"), partition_indexes=[0])]
            )
        ),
        Ask(lambda known: DescribeTransactionsRequest(transactional_ids=[known.name("x"), known.name("nowhere")])),
    ]


PRODUCER_IDS = Scenario(
    "producer-ids",
    [
        Ask(init(None)),
        Ask(init(None, timeout_ms=-1)),
        Ask(init("")),
        Ask(init("x", timeout_ms=0)),
        Ask(init("x", timeout_ms=-1)),
        Ask(init("x", timeout_ms=2**31 - 1)),
        Ask(init("x"), learn=learn_producer("x")),
        Ask(init("x", producer="x"), versions=[3, 4], learn=learn_producer("x")),
        Ask(init("x", producer="x", epoch=-1), versions=[4]),
        Ask(init("x", producer="x", epoch=-2), versions=[4]),
        Ask(init("x", producer="x", epoch=5), versions=[4]),
        Ask(init("y", producer="x"), versions=[4]),
    ],
)

CLASSIC = Scenario(
    "transactions-classic",
    [
        *new_topic("t", 2),
        *init_producer("x", "x"),
        Ask(add_partitions("x", 0, 1), versions=[0, 1, 2, 3]),
        Ask(add_partitions("x", 9), versions=[0, 3]),
        Ask(add_partitions("x", 0, topic="nowhere"), versions=[0, 3]),
        Ask(add_partitions("x", 0, epoch=-1), versions=[0, 1, 2, 3]),
        Ask(add_partitions("x", 0, epoch=1), versions=[0, 3]),
        Ask(add_partitions("nobody", 0), versions=[0, 3]),
        Ask(_written("x", 0, b"one"), versions=[11]),
        Ask(_written("x", 0, b"one", partition=1), versions=[11]),
        *_status(),
        Ask(add_offsets("x", "g")),
        Ask(add_offsets("x", "g", epoch=-1), versions=[0, 3]),
        Ask(commit_offset("x", "g", 5), versions=range(5)),
        Ask(commit_offset("x", "g", 5, epoch=-1), versions=[0, 3]),
        Ask(commit_offset("x", "g", 5, member="stranger", generation=3), versions=[3]),
        Ask(commit_offset("x", "g", 5, topic="nowhere"), versions=[3]),
        Ask(committed("g"), versions=[6, 9]),
        Ask(committed("g", stable=True), versions=[7, 8, 9]),
        Ask(end("x", commit=True, epoch=-1), versions=[0, 3]),
        Ask(end("x", commit=True, epoch=1), versions=[0, 3]),
        Ask(end("nobody", commit=True), versions=range(5)),
        Ask(end("x", commit=True), versions=[3]),
        *_again("x"),
        *_status(),
        Ask(committed("g", stable=True), versions=[9]),
        Ask(end("x", commit=True), versions=[0, 3]),
        Ask(end("x", commit=False), versions=[0, 3]),
        Ask(_written("x", 0, b"outside"), versions=[11]),
        Ask(add_partitions("x", 0), versions=[3]),
        Ask(_written("x", 0, b"two"), versions=[11]),
        Ask(_written("x", 1, b"three"), versions=[11]),
        *_status(),
        Ask(end("x", commit=False), versions=[3]),
        *_again("x"),
        *_status(),
        Ask(add_partitions("x", 0), versions=[3]),
        Ask(_written("x", 0, b"four"), versions=[11]),
        *_again("x"),  # fences itself: the open transaction is aborted
        Ask(_written("x", 1, b"fenced", epoch=-1), versions=[11]),
        *_status(),
        Ask(end("x", commit=True, epoch=-1), versions=[3, 4]),
        Ask(
            lambda known: AddPartitionsToTxnRequest(
                transactions=[
                    AddPartitionsToTxnTransaction(
                        transactional_id=known.name("x"),
                        producer_id=known.number("x.id"),
                        producer_epoch=known.number("x.epoch"),
                        verify_only=True,
                        topics=[AddPartitionsToTxnTopic(name=known.name("t"), partitions=[0])],
                    )
                ]
            ),
            versions=[4, 5],
        ),
        Ask(lambda known: ListTransactionsRequest(state_filters=["Sleeping"])),
        Ask(lambda known: ListTransactionsRequest(producer_id_filters=[12345678])),
        Ask(lambda known: ListTransactionsRequest(state_filters=["Ongoing"])),
        Ask(lambda known: ListTransactionsRequest(duration_filter=3_600_000), versions=[1, 2]),
        Ask(lambda known: ListTransactionsRequest(transactional_id_pattern="transactions-classic-.*"), versions=[2]),
        Ask(lambda known: ListTransactionsRequest(transactional_id_pattern="("), versions=[2]),
        Ask(
            lambda known: DescribeProducersRequest(
                topics=[DescribeProducersTopicRequest(name=known.name("t"), partition_indexes=[9])]
            )
        ),
        Ask(
            lambda known: DescribeProducersRequest(
                topics=[DescribeProducersTopicRequest(name=known.name("nowhere"), partition_indexes=[0])]
            )
        ),
        Ask(lambda known: DescribeTransactionsRequest(transactional_ids=[""])),
    ],
)

SECOND = Scenario(
    "transactions-v2",
    [
        *new_topic("t", 2),
        *init_producer("x", "x"),
        Ask(_written("x", 0, b"joins by itself"), versions=[12]),
        Ask(_written("x", 0, b"joins by itself", partition=1), versions=[13]),
        Ask(_written("x", 1, b"again"), versions=[13]),
        *_status(),
        Ask(commit_offset("x", "g", 5), versions=[5]),
        Ask(committed("g", stable=True), versions=[9]),
        Ask(end("x", commit=True), versions=[5], learn=learn_epoch("x")),
        *_complete("x"),
        Ask(end("x", commit=True, epoch=-1), versions=[5]),
        Ask(_written("x", 0, b"second"), versions=[13]),
        Ask(_written("x", 1, b"zombie", epoch=-1), versions=[13]),
        Ask(end("x", commit=True, epoch=-1), versions=[5]),
        Ask(end("x", commit=False), versions=[5], learn=learn_epoch("x")),
        *_complete("x"),
        Ask(end("x", commit=False, epoch=-1), versions=[5]),
        Ask(end("x", commit=False), versions=[5], learn=learn_epoch("x")),
        *_complete("x"),
        Ask(end("x", commit=True), versions=[5]),
        *_again("x"),
        *_status(),
        Ask(committed("g", stable=True), versions=[9]),
    ],
)

SCENARIOS = [PRODUCER_IDS, CLASSIC, SECOND]
