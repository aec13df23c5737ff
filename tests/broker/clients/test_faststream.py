"""FastStream, over confluent-kafka and over aiokafka: a framework of strangers on a running broker."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from faststream import confluent, kafka
from faststream.confluent import KafkaBroker as ConfluentBroker
from faststream.kafka import KafkaBroker as AioKafkaBroker

from tests.servers.broker_process import BrokerProcess

PARTITIONS = 4
HALF = 150
SECONDS_MAX = 30


@dataclass
class Member:
    """One process's worth of FastStream: what its subscriber was given, as it came."""

    broker: Any
    got: list[tuple[bytes, bytes, str, int, int]] = field(default_factory=list)


def _over_confluent(address: str, topic: str) -> Member:
    member = Member(ConfluentBroker(address))

    @member.broker.subscriber(topic, group_id=topic, auto_offset_reset="earliest", session_timeout_ms=6000)
    async def handle(body: dict[str, object], message: confluent.KafkaMessage) -> None:
        raw = message.raw_message
        assert not isinstance(raw, tuple)
        member.got.append((raw.key(), raw.value(), message.headers["number"], raw.partition(), raw.offset()))

    return member


def _over_aiokafka(address: str, topic: str) -> Member:
    member = Member(AioKafkaBroker(address))

    @member.broker.subscriber(topic, group_id=topic, auto_offset_reset="earliest", session_timeout_ms=6000)
    async def handle(body: dict[str, object], message: kafka.KafkaMessage) -> None:
        raw = message.raw_message
        assert not isinstance(raw, tuple)
        member.got.append((raw.key, raw.value, message.headers["number"], raw.partition, raw.offset))

    return member


async def _publish(publisher: Any, topic: str, numbers: range) -> list[tuple[bytes, bytes, str]]:
    sent = []
    for number in numbers:
        key, body = b"key-%d" % (number % 23), json.dumps({"number": number, "text": "é" * 20}).encode()
        await publisher.publish(body, topic, key=key, headers={"number": str(number)})
        sent.append((key, body, str(number)))
    return sent


@pytest.mark.anyio
@pytest.mark.parametrize("make", [_over_confluent, _over_aiokafka])
@pytest.mark.parametrize("compression", [None, "gzip"])
async def test_faststream_makes_a_full_round(
    broker: BrokerProcess, topic: str, make: Callable[[str, str], Member], compression: str | None
) -> None:
    """Publish, compressed and not, subscribe in a group, a second member and its rebalance, byte for byte."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for created in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
        created.result(10)
    kind = ConfluentBroker if make is _over_confluent else AioKafkaBroker
    members = [make(broker.bootstrap, topic)]
    async with kind(broker.bootstrap, compression_type=compression, acks="all") as publisher, members[0].broker:
        await members[0].broker.start()
        sent = await _publish(publisher, topic, range(HALF))
        with anyio.fail_after(SECONDS_MAX):
            while len(members[0].got) < HALF:
                await anyio.sleep(0.05)
        members.append(make(broker.bootstrap, topic))
        async with members[1].broker:
            await members[1].broker.start()
            number = HALF
            with anyio.fail_after(SECONDS_MAX):
                while not members[1].got:  # until the rebalance has given it partitions
                    sent += await _publish(publisher, topic, range(number, number + 10))
                    number += 10
                    await anyio.sleep(0.1)
                while len({each[3:] for member in members for each in member.got}) < len(sent):
                    await anyio.sleep(0.05)
    got = {each for member in members for each in member.got}
    assert sorted(each[:3] for each in got) == sorted(sent)
    assert len({each[3] for each in got}) == PARTITIONS
