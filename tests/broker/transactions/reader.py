"""Producers and readers of committed records that speak to a broker in the same process, as clients do on a wire."""

from broker.errors import ErrorCode
from broker.records import MarkerKind, NewRecord, build_batch, iterate_batches, parse_marker
from broker.storage import LogSlice
from broker.wire.messages.fetch import FetchPartition, FetchPartitionData, FetchRequest, FetchResponse, FetchTopic
from broker.wire.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from broker.wire.messages.transactions import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopic,
    EndTxnRequest,
    EndTxnResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
)
from tests.broker.handlers.conftest import InProcessBroker

NAMES_VERSION = 12
"""The highest version of Produce and Fetch that names topics; Produce takes partitions into transactions by itself."""
TIMEOUT_MS = 60_000


class TransactionalProducer:
    """One incarnation. With *v2* it does without AddPartitionsToTxn, and goes on with what EndTxn answers."""

    def __init__(self, broker: InProcessBroker, transactional_id: str, *, v2: bool) -> None:
        self.broker = broker
        self.transactional_id = transactional_id
        self.v2 = v2
        self.producer_id = self.producer_epoch = -1
        self.sequences: dict[tuple[str, int], int] = {}

    def init(self) -> ErrorCode:
        request = InitProducerIdRequest(
            transactional_id=self.transactional_id, transaction_timeout_ms=TIMEOUT_MS, producer_id=-1, producer_epoch=-1
        )
        answer = self.broker.call(request, InitProducerIdResponse)
        if not answer.error_code:
            self._go_on(answer.producer_id, answer.producer_epoch)
        return ErrorCode(answer.error_code)

    def add(self, topic: str, partition: int) -> ErrorCode:
        request = AddPartitionsToTxnRequest(
            v3_and_below_transactional_id=self.transactional_id,
            v3_and_below_producer_id=self.producer_id,
            v3_and_below_producer_epoch=self.producer_epoch,
            v3_and_below_topics=[AddPartitionsToTxnTopic(name=topic, partitions=[partition])],
        )
        answer = self.broker.call(request, AddPartitionsToTxnResponse, 3)
        return ErrorCode(answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code)

    def produce(self, topic: str, partition: int, *values: bytes, announce: bool = True) -> ErrorCode:
        """Writes one batch in the transaction."""
        if not self.v2 and announce:
            error = self.add(topic, partition)
            if error:
                return error
        sequence = self.sequences.get((topic, partition), 0)
        batch = build_batch(
            [NewRecord(b"key", value) for value in values],
            timestamp=self.broker.clock.now_ms(),
            producer_id=self.producer_id,
            producer_epoch=self.producer_epoch,
            base_sequence=sequence,
            transactional=True,
        )
        request = ProduceRequest(
            transactional_id=self.transactional_id,
            acks=-1,
            topic_data=[
                TopicProduceData(
                    name=topic, partition_data=[PartitionProduceData(index=partition, records=memoryview(batch))]
                )
            ],
        )
        answer = self.broker.call(request, ProduceResponse, NAMES_VERSION if self.v2 else 11)
        error = ErrorCode(answer.responses[0].partition_responses[0].error_code)
        if not error:
            self.sequences[topic, partition] = sequence + len(values)
        return error

    def end(self, *, committed: bool, producer_epoch: int | None = None) -> ErrorCode:
        request = EndTxnRequest(
            transactional_id=self.transactional_id,
            producer_id=self.producer_id,
            producer_epoch=self.producer_epoch if producer_epoch is None else producer_epoch,
            committed=committed,
        )
        answer = self.broker.call(request, EndTxnResponse, 5 if self.v2 else 3)
        if self.v2 and not answer.error_code:
            self._go_on(answer.producer_id, answer.producer_epoch)
        return ErrorCode(answer.error_code)

    def _go_on(self, producer_id: int, producer_epoch: int) -> None:
        if (producer_id, producer_epoch) != (self.producer_id, self.producer_epoch):
            self.sequences.clear()
        self.producer_id, self.producer_epoch = producer_id, producer_epoch


def fetch(
    broker: InProcessBroker, topic: str, partition: int, *, offset: int = 0, committed: bool = True
) -> FetchPartitionData:
    """What a reader from *offset* is answered."""
    request = FetchRequest(
        max_wait_ms=0,
        min_bytes=1,
        isolation_level=int(committed),
        topics=[
            FetchTopic(
                topic=topic,
                partitions=[FetchPartition(partition=partition, fetch_offset=offset, partition_max_bytes=1 << 20)],
            )
        ],
    )
    return broker.call(request, FetchResponse, NAMES_VERSION).responses[0].partitions[0]


def committed_values(broker: InProcessBroker, topic: str, partition: int, *, offset: int = 0) -> list[bytes]:
    """What a client shows who reads committed records from *offset* on: it leaves out what it is told was aborted."""
    values: list[bytes] = []
    while True:
        data = fetch(broker, topic, partition, offset=offset)
        assert not data.error_code
        if not isinstance(data.records, LogSlice):
            return values
        content = data.records.read()
        data.records.release()
        waiting = sorted(data.aborted_transactions or (), key=lambda each: each.first_offset)
        aborted: set[int] = set()
        for batch in iterate_batches(content):
            header = batch.header
            while waiting and waiting[0].first_offset <= header.last_offset:
                aborted.add(waiting.pop(0).producer_id)
            if header.is_control:
                if parse_marker(next(batch.records())).kind is MarkerKind.ABORT:
                    aborted.discard(header.producer_id)
            elif not (header.is_transactional and header.producer_id in aborted):
                values.extend(record.value or b"" for record in batch.records() if record.offset >= offset)
            offset = max(offset, header.next_offset)
