"""
Times our codecs beside kio's and kafka-python's, for one partition: the two messages a broker handles most.

    python -m tests.broker.wire.measure_codecs

Best of five runs, microseconds a message. A broker decodes requests and encodes responses.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from timeit import repeat

from kafka.protocol.consumer.fetch import FetchRequest as TheirFetchRequest
from kafka.protocol.consumer.fetch import FetchResponse as TheirFetchResponse
from kafka.protocol.producer.produce import ProduceRequest as TheirProduceRequest
from kio.schema.fetch.v12.request import FetchRequest as KioFetchRequest
from kio.schema.fetch.v12.response import FetchResponse as KioFetchResponse
from kio.schema.produce.v9.request import ProduceRequest as KioProduceRequest
from kio.serial import entity_reader, entity_writer

from broker.wire.codec import decode, encode
from broker.wire.frame import encode_response
from broker.wire.messages.fetch import (
    FetchableTopicResponse,
    FetchPartition,
    FetchPartitionData,
    FetchRequest,
    FetchResponse,
    FetchTopic,
)
from broker.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

CALLS = 5_000


def microseconds(call: Callable[[], object]) -> float:
    """The best of five runs, a call."""
    call()
    return min(repeat(call, number=CALLS, repeat=5)) / CALLS * 1e6


def main() -> None:
    """Writes three rows."""
    data = PartitionProduceData(index=3, records=memoryview(bytes(1000)))
    produce = encode(ProduceRequest(acks=-1, topic_data=[TopicProduceData(name="orders", partition_data=[data])]), 9)
    asked = FetchPartition(partition=3, fetch_offset=17, partition_max_bytes=1_048_576)
    fetch = encode(FetchRequest(max_wait_ms=500, topics=[FetchTopic(topic="orders", partitions=[asked])]), 12)
    found = FetchPartitionData(partition_index=3, high_watermark=18, aborted_transactions=None, records=bytes(1000))
    answer = FetchResponse(responses=[FetchableTopicResponse(topic="orders", partitions=[found])])
    encoded = encode(answer, 12)

    kio_answer, _ = entity_reader(KioFetchResponse)(encoded, 0)
    kio_write = entity_writer(KioFetchResponse)
    kio_produce, kio_fetch = entity_reader(KioProduceRequest), entity_reader(KioFetchRequest)
    their_answer = TheirFetchResponse.decode(encoded, version=12)
    their_answer._header = None

    rows = [
        (
            "decode Produce v9 request",
            microseconds(lambda: decode(ProduceRequest, 9, produce)),
            microseconds(lambda: kio_produce(produce, 0)),
            microseconds(lambda: TheirProduceRequest.decode(produce, version=9)),
        ),
        (
            "decode Fetch v12 request",
            microseconds(lambda: decode(FetchRequest, 12, fetch)),
            microseconds(lambda: kio_fetch(fetch, 0)),
            microseconds(lambda: TheirFetchRequest.decode(fetch, version=12)),
        ),
        (
            "encode Fetch v12 response",
            microseconds(lambda: encode_response(answer, 12, 1)),
            microseconds(lambda: kio_write(io.BytesIO(), kio_answer)),
            microseconds(lambda: their_answer.encode(version=12)),
        ),
    ]
    sys.stdout.write(f"{'':28}{'ours':>8}{'kio':>8}{'kafka-python':>14}\n")
    for name, ours, kio, theirs in rows:
        sys.stdout.write(f"{name:28}{ours:8.1f}{kio:8.1f}{theirs:14.1f}\n")


if __name__ == "__main__":
    main()
