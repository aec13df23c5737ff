"""Order, parking, slow readers and limits, on real sockets."""

import socket
import time
from pathlib import Path

from broker.records import NewRecord, build_batch
from broker.wire.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from broker.wire.messages.metadata import MetadataRequest, MetadataResponse
from broker.wire.messages.offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from broker.wire.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from broker.wire.messages.topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)
from tests.servers.broker_process import BrokerProcess, running_broker
from tests.servers.raw_client import RawClient


def create(client: RawClient, topic: str, **configs: str) -> None:
    entries = [CreatableTopicConfig(name=key.replace("_", "."), value=value) for key, value in configs.items()]
    request = CreateTopicsRequest(
        topics=[CreatableTopic(name=topic, num_partitions=1, replication_factor=1, configs=entries)]
    )
    answer = client.ask(request, CreateTopicsResponse, 7)
    assert answer.topics[0].error_code == 0, answer.topics[0].error_message


def produce_request(topic: str, *values: bytes) -> ProduceRequest:
    records = memoryview(build_batch([NewRecord(None, value) for value in values], timestamp=int(time.time() * 1000)))
    data = TopicProduceData(name=topic, partition_data=[PartitionProduceData(index=0, records=records)])
    return ProduceRequest(acks=-1, timeout_ms=1000, topic_data=[data])


def produce(client: RawClient, topic: str, *values: bytes) -> int:
    answer = client.ask(produce_request(topic, *values), ProduceResponse, 9).responses[0].partition_responses[0]
    assert answer.error_code == 0, answer.error_message
    return answer.base_offset


def fetch_request(topic: str, offset: int, *, max_wait_ms: int = 0, max_bytes: int = 50 << 20) -> FetchRequest:
    asked = FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=max_bytes)
    return FetchRequest(
        max_wait_ms=max_wait_ms,
        min_bytes=1,
        max_bytes=max_bytes,
        topics=[FetchTopic(topic=topic, partitions=[asked])],
    )


def test_pipelined_requests_are_answered_in_their_order(broker: BrokerProcess, topic: str) -> None:
    """A thousand requests of different kinds and sizes in one write."""
    latest = ListOffsetsPartition(partition_index=0, timestamp=-1)
    list_offsets = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=[latest])])
    with RawClient(broker.host, broker.port) as client:
        create(client, topic)
        sent: list[tuple[int, type[ProduceResponse | ListOffsetsResponse], int]] = []
        for number in range(500):
            sent.append((client.send(produce_request(topic, b"x" * number), 9), ProduceResponse, 9))
            sent.append((client.send(list_offsets, 5), ListOffsetsResponse, 5))
        for number, (correlation_id, response, version) in enumerate(sent):
            answered, message = client.receive(response, version)
            assert answered == correlation_id
            if isinstance(message, ProduceResponse):
                assert message.responses[0].partition_responses[0].base_offset == number // 2
            else:
                assert message.topics[0].partitions[0].offset == number // 2 + 1


def test_a_parked_fetch_holds_back_later_answers_of_its_own_connection_only(broker: BrokerProcess, topic: str) -> None:
    """The later request is handled, its answer waits; another connection is answered at once."""
    with RawClient(broker.host, broker.port) as parked, RawClient(broker.host, broker.port) as other:
        create(other, topic)
        first = parked.send(fetch_request(topic, 0, max_wait_ms=5_000), 12)
        second = parked.send(MetadataRequest(topics=[]), 12)
        parked.socket.settimeout(0.2)
        try:
            parked.receive_frame()
        except TimeoutError:
            pass
        else:
            raise AssertionError("answered before there was anything")
        parked.socket.settimeout(10)
        produce(other, topic, b"now")
        assert parked.receive(FetchResponse, 12)[0] == first
        assert parked.receive(MetadataResponse, 12)[0] == second


def test_a_fetch_that_was_parked_by_a_closed_connection_never_reaches_a_newcomer(
    broker: BrokerProcess, topic: str
) -> None:
    """The newcomer gets the dead one's descriptor number, and not its answer."""
    with RawClient(broker.host, broker.port) as producer:
        create(producer, topic)
        for _ in range(5):
            with RawClient(broker.host, broker.port) as dying:
                dying.send(fetch_request(topic, 0, max_wait_ms=60_000), 12)
                dying.send(MetadataRequest(topics=[]), 12)
            time.sleep(0.02)
            newcomers = [RawClient(broker.host, broker.port) for _ in range(5)]
            produce(producer, topic, b"for the dead")
            for newcomer in newcomers:
                newcomer.ask(MetadataRequest(topics=[]), MetadataResponse, 12)
                newcomer.close()


def test_a_slow_reader_gets_every_byte_and_slows_nobody_down(broker: BrokerProcess, topic: str) -> None:
    """Tens of megabytes asked for in one go over a small window, read late, compared byte for byte."""
    with (
        RawClient(broker.host, broker.port) as producer,
        RawClient(broker.host, broker.port, receive_buffer=4096) as slow,
    ):
        create(producer, topic)
        value = bytes(range(256)) * 2048
        for _ in range(8):
            produce(producer, topic, value)
        for _ in range(6):
            slow.send(fetch_request(topic, 0), 12)
        began = time.monotonic()
        for _ in range(50):
            producer.ask(MetadataRequest(topics=[]), MetadataResponse, 12)
        assert time.monotonic() - began < 20
        frames = {slow.receive_frame()[4:] for _ in range(6)}
    assert len(frames) == 1
    assert frames.pop().count(value) == 8


def test_a_reader_that_never_reads_is_dropped_when_it_goes(broker: BrokerProcess, topic: str) -> None:
    """Its queued file slices are let go with it; the broker serves on."""
    with RawClient(broker.host, broker.port) as producer:
        create(producer, topic)
        for _ in range(4):
            produce(producer, topic, b"x" * 500_000)
        with RawClient(broker.host, broker.port, receive_buffer=4096) as lazy:
            for _ in range(200):
                lazy.send(fetch_request(topic, 0), 12)
        assert produce(producer, topic, b"y") == 4


def test_a_request_that_trickles_in_byte_by_byte_is_answered(broker: BrokerProcess) -> None:
    """Frames come as the network cuts them."""
    from broker.wire.frame import encode_request

    with RawClient(broker.host, broker.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in encode_request(MetadataRequest(topics=[]), 12, 77, "trickle"):
            client.socket.sendall(bytes([byte]))
            time.sleep(0.001)
        assert client.receive(MetadataResponse, 12)[0] == 77


def test_idle_connections_are_closed(tmp_path: Path) -> None:
    """After connections.max.idle.ms, with one log line; a connection with a parked fetch is not idle."""
    with running_broker(tmp_path / "data", "--set", "connections.max.idle.ms=300") as broker:
        with RawClient(broker.host, broker.port) as waiting, RawClient(broker.host, broker.port) as idle:
            create(waiting, "t")
            waiting.send(fetch_request("t", 0, max_wait_ms=1_000), 12)
            assert idle.is_closed()
            assert waiting.receive(FetchResponse, 12)
        assert "connections.max.idle.ms" in broker.log


def test_connections_above_max_connections_are_closed_at_once(tmp_path: Path) -> None:
    """With a log line; the ones below the limit go on, and a free place can be taken again."""
    with running_broker(tmp_path / "data", "--set", "max.connections=2") as broker:
        first, second = RawClient(broker.host, broker.port), RawClient(broker.host, broker.port)
        with first, second:
            first.ask(MetadataRequest(topics=[]), MetadataResponse, 12)
            second.ask(MetadataRequest(topics=[]), MetadataResponse, 12)
            with RawClient(broker.host, broker.port) as third:
                assert third.is_closed()
            assert "max.connections=2" in broker.log
            first.close()
            time.sleep(0.1)
            with RawClient(broker.host, broker.port) as fourth:
                fourth.ask(MetadataRequest(topics=[]), MetadataResponse, 12)
            second.ask(MetadataRequest(topics=[]), MetadataResponse, 12)


def test_a_frame_above_the_limit_that_was_configured_closes_the_connection(tmp_path: Path) -> None:
    """socket.request.max.bytes holds, whatever the protocol's own limit."""
    with running_broker(tmp_path / "data", "--set", "socket.request.max.bytes=1000") as broker:
        with RawClient(broker.host, broker.port) as client:
            client.socket.sendall((1001).to_bytes(4, "big"))
            assert client.is_closed()
        with RawClient(broker.host, broker.port) as client:
            client.ask(MetadataRequest(topics=[]), MetadataResponse, 12)


def test_a_slice_that_waits_for_a_slow_reader_is_sent_though_its_topic_is_gone(
    broker: BrokerProcess, topic: str
) -> None:
    """The file is held open: its descriptor's number is not given to the next topic's log before the last byte."""
    value = bytes(range(256)) * 3000
    with (
        RawClient(broker.host, broker.port) as other,
        RawClient(broker.host, broker.port, receive_buffer=4096) as slow,
    ):
        create(other, topic)
        for _ in range(6):
            produce(other, topic, value)
        for _ in range(4):
            slow.send(fetch_request(topic, 0), 12)
        time.sleep(0.2)
        deleted = other.ask(DeleteTopicsRequest(topics=[DeleteTopicState(name=topic)]), DeleteTopicsResponse, 6)
        assert deleted.responses[0].error_code == 0
        for number in range(5):
            create(other, f"{topic}-{number}")
            produce(other, f"{topic}-{number}", b"\xff" * 700_000)
        assert [slow.receive_frame().count(value) for _ in range(4)] == [6] * 4


def test_connections_above_max_connections_per_ip_are_closed_at_once(tmp_path: Path) -> None:
    """One address cannot take all the places."""
    with running_broker(tmp_path / "data", "--set", "max.connections.per.ip=1") as broker:
        with RawClient(broker.host, broker.port) as first, RawClient(broker.host, broker.port) as second:
            first.ask(MetadataRequest(topics=[]), MetadataResponse, 12)
            assert second.is_closed()
        assert "max.connections.per.ip=1" in broker.log
