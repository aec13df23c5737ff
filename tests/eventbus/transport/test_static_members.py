"""A static member of a classic group that takes its name over from one that was killed."""

import signal
import subprocess
import sys
import textwrap
import uuid

import anyio
import pytest

from eventbus.testing.contracts.transport import follow, nothing_in_flight
from eventbus.transport import KafkaTransport, TopicPartition
from tests.servers.logs import Log

_DIES_GIVING_UP = textwrap.dedent("""
    import os, signal, sys
    from confluent_kafka import Consumer

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    bootstrap, group, topic = sys.argv[1:]
    member = Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "group.instance.id": "one",
        "partition.assignment.strategy": "cooperative-sticky",
        "heartbeat.interval.ms": 500,
    })
    member.subscribe([topic], on_assign=lambda *_: print("assigned", flush=True), on_revoke=die)
    while True:
        member.poll(0.1)
""")
"""A member that is killed when it has been told what to give up, and has not yet told the group that it has."""


@pytest.mark.anyio
async def test_what_a_killed_member_was_giving_up_is_not_left_over(
    transport: KafkaTransport, topic: str, log: Log
) -> None:
    """Its successor has the rest unasked, and nobody is told that the others are free; yet somebody gets them."""
    group = f"group-{uuid.uuid4().hex[:8]}"
    killed = subprocess.Popen(
        [sys.executable, "-c", _DIES_GIVING_UP, log.bootstrap, group, topic], stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout is not None
    assert await anyio.to_thread.run_sync(killed.stdout.readline) == "assigned\n"
    shares: dict[str, frozenset[TopicPartition]] = {}

    other = transport.consumer(group, [topic], instance_id="two", revoked=nothing_in_flight)
    successor = transport.consumer(group, [topic], instance_id="one", revoked=nothing_in_flight)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow, other, shares, "two")
        assert await anyio.to_thread.run_sync(killed.wait) == -signal.SIGKILL
        tasks.start_soon(follow, successor, shares, "one")
        with anyio.fail_after(30):
            while sum(map(len, shares.values())) < 3:
                await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()
    assert shares["one"] | shares["two"] == {TopicPartition(topic, partition) for partition in range(3)}
    await successor.aclose()
    await other.aclose()
