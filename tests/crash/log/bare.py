"""Clients of bare frames: requests that are sent again, and the look at a log as it is."""

import contextlib
import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

from broker.errors import ErrorCode
from broker.records import MarkerKind, NewRecord, build_batch, iterate_batches, parse_marker
from broker.wire.messages.fetch import FetchPartition, FetchPartitionData, FetchRequest, FetchResponse, FetchTopic
from broker.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from broker.wire.messages.offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from broker.wire.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from broker.wire.messages.transactions import (
    EndTxnRequest,
    EndTxnResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
)
from tests.crash.log.history import Begin, Bounds, Commit, Dump, End, Entry, History, Init, Send, Watch
from tests.crash.log.producers import TRANSACTION_TIMEOUT_S
from tests.crash.log.worker import Topic, Worker, split
from tests.servers.raw_client import RawClient

GONE = (OSError, EOFError)


class BareWorker(Worker):
    """A worker with a connection of its own, made again when it has broken."""

    def __init__(self, name: str, history: History, bootstrap: str, seed: int) -> None:
        super().__init__(name, history, bootstrap, seed)
        self._client: RawClient | None = None

    @property
    def client(self) -> RawClient:
        if self._client is None:
            host, _, port = self.bootstrap.rpartition(":")
            self._client = RawClient(host, int(port), timeout=min(5, self.resumes_s))
        return self._client

    def step(self) -> None:
        try:
            self.ask()
        except GONE:
            self.disconnect()
            time.sleep(0.05)

    def finish(self) -> None:
        self.disconnect()

    def disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    @abstractmethod
    def ask(self) -> None:
        """A few requests. Raises OSError and EOFError when the connection breaks."""


class Repeater(BareWorker):
    """Sends produce, EndTxn and OffsetCommit again: at once, over another connection, and much too late."""

    def __init__(
        self, name: str, history: History, bootstrap: str, seed: int, *, place: str, group: str, is_transactional: bool
    ) -> None:
        super().__init__(name, history, bootstrap, seed)
        self._place = place
        self._group = group
        self._is_transactional = is_transactional
        self._producer: tuple[int, int] | None = None
        self._incarnation = ""
        self._sequence = 0
        self._number = 0
        self._late: EndTxnRequest | None = None

    def ask(self) -> None:
        if not self._is_initialised:
            self._late = None
            self._initialise()
        if not self._is_initialised:
            self.stopping.wait(0.05)
        elif self._is_transactional:
            self._transact()
        else:
            self._produce_twice(None)
            if self._number % 5 == 0:
                self._commit_twice(self._number)
        time.sleep(self.random.choice((0.01, 0.05)))

    def finish(self) -> None:
        """The last incarnation aborts what is open."""
        for _ in range(20 if self._is_transactional else 0):
            self._producer = None
            with contextlib.suppress(*GONE):
                self._initialise()
            if self._is_initialised:
                break
            self.disconnect()
            time.sleep(0.05)
        self.disconnect()

    @property
    def _is_initialised(self) -> bool:
        return self._producer is not None

    def _initialise(self) -> None:
        self._incarnation = self.new_name(self.name)
        init = self.history.invoke(self.name, Init(self.name, self._incarnation)) if self._is_transactional else None
        answer = self.client.ask(
            InitProducerIdRequest(
                transactional_id=self.name if self._is_transactional else None,
                transaction_timeout_ms=int(TRANSACTION_TIMEOUT_S * 1000),
            ),
            InitProducerIdResponse,
            4,
        )
        if answer.error_code == ErrorCode.NONE:
            self._producer, self._sequence = (answer.producer_id, answer.producer_epoch), 0
        if init is not None:
            self.history.complete(init, "ok" if answer.error_code == ErrorCode.NONE else "unknown")

    def _transact(self) -> None:
        name = self.new_name(f"{self.name}-transaction")
        begin = self.history.invoke(self.name, Begin(self.name, self._incarnation, name, TRANSACTION_TIMEOUT_S))
        self.history.complete(begin, "ok")
        if not self._produce_twice(name):
            return
        if self._late is not None:
            # The end of the transaction before, once more: it must not end this one.
            try:
                self.client.ask(self._late, EndTxnResponse, 5)
            except GONE:
                self.disconnect()
            if not self._produce_twice(name):
                return
        committed = self.random.random() < 0.4
        assert self._producer is not None
        request = EndTxnRequest(
            transactional_id=self.name,
            producer_id=self._producer[0],
            producer_epoch=self._producer[1],
            committed=committed,
        )
        for _ in range(3):
            end = self.history.invoke(self.name, End(name, self._incarnation, committed))
            answer = self._again(request)
            if answer is None or answer.error_code != ErrorCode.NONE:
                self.history.complete(end, "unknown", reason=str(answer))
                self._producer = None
                return
            self.history.complete(end, "ok")
            self.progress += 1
            if (answer.producer_id, answer.producer_epoch) != self._producer:
                self._producer, self._sequence = (answer.producer_id, answer.producer_epoch), 0
        self._late = (
            EndTxnRequest(
                transactional_id=self.name,
                producer_id=request.producer_id,
                producer_epoch=request.producer_epoch,
                committed=True,
            )
            if committed
            else None
        )

    def _again(self, request: EndTxnRequest) -> EndTxnResponse | None:
        for _ in range(100):
            with contextlib.suppress(*GONE):
                answer = self.client.ask(request, EndTxnResponse, 5)
                if answer.error_code not in (ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.COORDINATOR_NOT_AVAILABLE):
                    return answer
            self.disconnect()
            time.sleep(0.05)
        return None

    def _produce_twice(self, transaction: str | None) -> bool:
        """
        The same batch until it was acknowledged twice, the second time perhaps over another connection.

        False when it cannot be, and this incarnation is over.
        """
        assert self._producer is not None
        self._number += 1
        value = f"{self.name}:{self._number}"
        batch = build_batch(
            [NewRecord(None, value.encode())],
            timestamp=time.time_ns() // 1_000_000,
            producer_id=self._producer[0],
            producer_epoch=self._producer[1],
            base_sequence=self._sequence,
            transactional=transaction is not None,
        )
        acknowledged = 0
        for _ in range(100):
            send = self.history.invoke(self.name, Send(self._place, self._incarnation, value, transaction=transaction))
            code, offset = self._produce(batch, transaction)
            if code is ErrorCode.NONE:
                self.history.complete(send, "ok", offset=offset)
                self.progress += 1
                acknowledged += 1
                if acknowledged == 2:
                    self._sequence += 1
                    return True
                if self.random.random() < 0.3:
                    self.disconnect()
                continue
            self.history.complete(send, "unknown", reason=code.name if code is not None else "the connection broke")
            if code is not None and code not in (ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.NOT_ENOUGH_REPLICAS):
                break
            time.sleep(0.05)
        self._producer = None
        return False

    def _produce(self, batch: bytearray, transaction: str | None) -> tuple[ErrorCode | None, int]:
        topic, index = split(self._place)
        request = ProduceRequest(
            transactional_id=self.name if transaction is not None else None,
            acks=-1,
            timeout_ms=5_000,
            topic_data=[
                TopicProduceData(
                    name=topic, partition_data=[PartitionProduceData(index=index, records=memoryview(batch))]
                )
            ],
        )
        try:
            answer = self.client.ask(request, ProduceResponse, 12).responses[0].partition_responses[0]
        except GONE:
            self.disconnect()
            return None, -1
        return ErrorCode(answer.error_code), answer.base_offset

    def _commit_twice(self, offset: int) -> None:
        topic, index = split(self._place)
        request = OffsetCommitRequest(
            group_id=self._group,
            topics=[
                OffsetCommitRequestTopic(
                    name=topic,
                    partitions=[OffsetCommitRequestPartition(partition_index=index, committed_offset=offset)],
                )
            ],
        )
        for _ in range(2):
            commit = self.history.invoke(self.name, Commit(self._group, {self._place: offset}))
            answer = self.client.ask(request, OffsetCommitResponse, 8)
            good = answer.topics[0].partitions[0].error_code == ErrorCode.NONE
            self.history.complete(commit, "ok" if good else "unknown")


class Watcher(BareWorker):
    """Looks at the bounds of every place, and at the end at everything that is in them."""

    def __init__(self, name: str, history: History, bootstrap: str, seed: int, *, topics: Sequence[Topic]) -> None:
        super().__init__(name, history, bootstrap, seed)
        self._topics = topics

    def ask(self) -> None:
        self.look()
        time.sleep(0.03)

    def look(self) -> None:
        """One look at the bounds."""
        watch = self.history.invoke(self.name, Watch())
        bounds: dict[str, Bounds] = {}
        request = FetchRequest(
            max_bytes=0,
            topics=[
                FetchTopic(
                    topic=topic.name, partitions=[FetchPartition(partition=index) for index in range(topic.partitions)]
                )
                for topic in self._topics
            ],
        )
        # A place whose start is above 0 answers OFFSET_OUT_OF_RANGE without its bounds: it is asked again behind it.
        for topic in self.client.ask(request, FetchResponse, 12).responses:
            for found in topic.partitions:
                place = f"{topic.topic}-{found.partition_index}"
                if found.error_code == ErrorCode.OFFSET_OUT_OF_RANGE:
                    found = self._fetch(place, _start_of(self.client, place), 0)
                if found.error_code == ErrorCode.NONE:
                    bounds[place] = Bounds(found.log_start_offset, found.last_stable_offset, found.high_watermark)
        self.history.complete(watch, "ok", bounds=bounds)
        self.progress += 1

    def dump(self) -> None:
        """Everything in every place. Raises OSError and EOFError."""
        for topic in self._topics:
            for place in topic.places:
                dump = self.history.invoke(self.name, Dump(place, compacted=topic.replaced, retained=topic.dropped))
                entries: list[Entry] = []
                offset = _start_of(self.client, place)
                while True:
                    found = self._fetch(place, offset, 1 << 20)
                    records = found.records if isinstance(found.records, bytes | bytearray | memoryview) else b""
                    if found.error_code != ErrorCode.NONE or not records:
                        break
                    offset = _read(records, offset, entries)
                self.history.complete(dump, "ok", entries=entries, end=offset)

    def _fetch(self, place: str, offset: int, size: int) -> FetchPartitionData:
        topic, index = split(place)
        wanted = FetchPartition(partition=index, fetch_offset=offset, partition_max_bytes=size)
        request = FetchRequest(max_bytes=size, topics=[FetchTopic(topic=topic, partitions=[wanted])])
        return self.client.ask(request, FetchResponse, 12).responses[0].partitions[0]


def _read(records: bytes | bytearray | memoryview, offset: int, entries: list[Entry]) -> int:
    for batch in iterate_batches(records):
        header = batch.header
        for record in batch.records():
            if record.offset < offset:
                continue
            marker: Literal["commit", "abort"] | None = None
            if header.is_control:
                marker = "commit" if parse_marker(record).kind is MarkerKind.COMMIT else "abort"
            entries.append(
                Entry(
                    record.offset,
                    None if marker or record.value is None else record.value.decode(),
                    None if marker or record.key is None else record.key.decode(),
                    header.producer_id,
                    header.producer_epoch,
                    header.is_transactional,
                    marker,
                )
            )
        offset = header.next_offset
    return offset


def _start_of(client: RawClient, place: str) -> int:
    topic, index = split(place)
    request = ListOffsetsRequest(
        topics=[ListOffsetsTopic(name=topic, partitions=[ListOffsetsPartition(partition_index=index, timestamp=-2)])]
    )
    return client.ask(request, ListOffsetsResponse, 5).topics[0].partitions[0].offset


class Disturber(BareWorker):
    """Connections that send half a frame and stay or go, and readers that ask for much and read nothing."""

    resumes_s = 1e9
    """Nothing is ever done for it."""

    def __init__(self, name: str, history: History, bootstrap: str, seed: int, *, place: str) -> None:
        super().__init__(name, history, bootstrap, seed)
        self._place = place
        self._left: list[RawClient] = []

    def ask(self) -> None:
        topic, index = split(self._place)
        host, _, port = self.bootstrap.rpartition(":")
        slow = RawClient(host, int(port), timeout=5, receive_buffer=4096)
        self._left.append(slow)
        match self.random.randrange(3):
            case 0:
                wanted = FetchPartition(partition=index, fetch_offset=0, partition_max_bytes=1 << 20)
                for _ in range(20):
                    slow.send(FetchRequest(topics=[FetchTopic(topic=topic, partitions=[wanted])]), 12)
            case 1:
                slow.socket.sendall((1 << 16).to_bytes(4, "big") + self.random.randbytes(1_000))
            case _:
                slow.socket.sendall(self.random.randbytes(3))
        while len(self._left) > 8:
            self._left.pop(self.random.randrange(len(self._left))).close()
        self.stopping.wait(0.1)

    def finish(self) -> None:
        super().finish()
        for client in self._left:
            client.close()
        self._left.clear()
