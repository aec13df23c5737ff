"""`eventbus migrate` as it is run: from an embedded broker and SQLite to another log and PostgreSQL."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from confluent_kafka import Producer
from sqlalchemy import select, text

from eventbus.database import Database, SlotLeases
from eventbus.database.tables import checkpoints, dead_letters, events, handler_starts, outbox, published
from eventbus.embedded.locks import FileLock
from eventbus.errors import BrokerUnavailable
from eventbus.transport.kafka.administration import ClusterAdministration
from eventbus.transport.port import TopicPartition
from tests.eventbus.cli.test_command import eventbus
from tests.eventbus.migration.old_world import OldWorld, contents
from tests.servers.broker_process import BrokerProcess
from tests.servers.logs import Log

KILLED_WITHIN_SECONDS = 100.0


def _arguments(old: OldWorld, target: Log, *more: str) -> list[str]:
    return ["migrate", "--from", f"embedded:{old.directory}", "--to", target.url, *more]


def _shop(old: OldWorld, url: str) -> list[str]:
    return ["--service", "shop", "--from-database", old.database_url, "--database", url]


def test_everything_is_moved_and_positions_point_at_the_same_records(
    tmp_path: Path, old: OldWorld, target: Log, empty_postgres_url: str
) -> None:
    """Keys, headers, times and order of the log with its gaps; checkpoints, dead letters, groups; told as JSON."""
    place = old.fill(200)
    source = BrokerProcess(old.directory / "broker").start()
    before = {number: contents(source.bootstrap, "orders", number) for number in range(3)}
    source.stop()
    at = 12
    old_offset = before[0][at][0]
    assert old_offset > at, "the old log has to have gaps"
    anyio.run(old.write, old.rows(place, old_offset))

    planned = eventbus(
        tmp_path, *_arguments(old, target, *_shop(old, empty_postgres_url)), "--topic", "orders", "--dry-run", "--json"
    )
    assert json.loads(planned.stdout)["topics"][0]["offsets"] > 200
    assert ClusterAdministration(target.bootstrap, {}).names() == []

    result = eventbus(tmp_path, *_arguments(old, target, *_shop(old, empty_postgres_url)), "--json")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert [(topic["topic"], topic["records"]) for topic in told["topics"]] == [("orders", 200)]
    for number in range(3):
        after = contents(target.bootstrap, "orders", number)
        assert [content for _, content in after] == [content for _, content in before[number]]
        assert [offset for offset, _ in after] == list(range(len(after)))
    cluster = ClusterAdministration(target.bootstrap, {})
    assert cluster.group_offsets("console") == {TopicPartition("orders", 0): 10}
    topic = cluster.topics(["orders"])["orders"]
    assert topic.own["retention.ms"] == "86400000000"
    assert "flush.before.ack" not in topic.own

    async def look() -> None:
        database = Database.from_url(empty_postgres_url)
        async with database.reading() as connection:
            rows = (await connection.execute(select(checkpoints).order_by(checkpoints.c.consumer.desc()))).all()
            assert [(row.cluster_id, row.topic_id, row.epoch, row.next_offset) for row in rows] == [
                (cluster.cluster_id(), topic.topic_id, 7, at),
                (place.cluster_id, "another", 1, 3),
            ]
            assert (await connection.execute(select(handler_starts.c.first_offset))).scalar_one() == at
            assert (await connection.execute(select(published.c.offset))).scalar_one() == at
            letter = (await connection.execute(select(dead_letters))).one()
            assert (letter.offset, letter.value) == (at, b"\xff\x00")
            assert len((await connection.execute(select(events))).all()) == 5
            row = (await connection.execute(select(outbox))).one()
            assert (row.sequence, row.payload) == (41, b"{}")
        async with database.transaction() as connection:
            following = await connection.scalar(text("SELECT nextval('eventbus_outbox_sequence_seq')"))
            assert following == 42
        await database.aclose()

    anyio.run(look)
    assert told["services"][0]["rows_about_other_logs"] == 1
    again = json.loads(eventbus(tmp_path, *_arguments(old, target, *_shop(old, empty_postgres_url)), "--json").stdout)
    assert again["topics"][0]["checksum"] == told["topics"][0]["checksum"]
    assert (again["topics"][0]["written_now"], again["services"][0]["was_moved_before"]) == (0, True)


@pytest.mark.timeout(400)
def test_a_move_that_is_killed_goes_on_where_it_was(
    tmp_path: Path, old: OldWorld, target: Log, empty_postgres_url: str
) -> None:
    """SIGKILL while records are copied, then while rows are; a half-filled database is refused by services."""
    place = old.fill(40_000, transaction=2_000)
    anyio.run(old.write, old.rows(place, 11, stored=20_000))
    command = [sys.executable, "-m", "eventbus.cli", *_arguments(old, target, *_shop(old, empty_postgres_url))]

    cluster = ClusterAdministration(target.bootstrap, {})

    def copied() -> int:
        try:
            return sum(found.end for found in cluster.ranges({"orders": 3}).values())
        except BrokerUnavailable:
            return 0

    def stored() -> int:
        return anyio.run(_stored, empty_postgres_url)

    _kill_when(command, tmp_path, lambda: copied() > 0)
    assert copied() < 40_000
    _kill_when(command, tmp_path, lambda: stored() > 0)
    assert stored() < 20_000
    refused = eventbus(tmp_path, "outbox", "status", "--database", empty_postgres_url)
    assert (refused.returncode, "is being filled by `eventbus migrate`" in refused.stderr) == (2, True)

    done = eventbus(tmp_path, *command[3:], "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["topics"][0]["records"], told["topics"][0]["written_now"]) == (40_000, 0)
    (table,) = [table for table in told["services"][0]["tables"] if table["table"] == "eventbus_events"]
    assert table["rows"] == 20_000
    assert 0 < table["written_now"] < 20_000
    assert stored() == 20_000


async def _stored(url: str) -> int:
    database = Database.from_url(url)
    try:
        async with database.reading() as connection:
            there = await connection.scalar(text("SELECT to_regclass('eventbus_events') IS NOT NULL"))
            return int(await connection.scalar(text("SELECT count(*) FROM eventbus_events"))) if there else 0
    finally:
        await database.aclose()


def _kill_when(command: list[str], directory: Path, reached: Callable[[], bool]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVENTBUS_")}
    process = subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.DEVNULL)
    until = time.monotonic() + KILLED_WITHIN_SECONDS
    while not reached():
        assert time.monotonic() < until, "it did not come that far"
        assert process.poll() is None, "it has ended before it could be killed"
        time.sleep(0.01)  # the processor is the command's
    process.kill()
    process.wait()


def test_a_running_service_is_named_and_nothing_is_moved(
    tmp_path: Path, old: OldWorld, target: Log, empty_postgres_url: str
) -> None:
    """By its lock in the directory of the embedded broker; by its relay's lease where only its database is seen."""
    place = old.fill(20)
    anyio.run(old.write, old.rows(place, 11))
    users, instance = FileLock(old.directory / "users.lock"), FileLock(old.directory / "instances" / "shop-1.lock")
    instance.path.parent.mkdir()
    assert users.try_take(shared=True)
    assert instance.try_take()
    refused = eventbus(tmp_path, *_arguments(old, target))
    users.release()
    instance.release()
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "is in use by shop-1: stop every service first" in refused.stderr

    async def announce() -> None:
        database = Database.from_url(old.database_url)
        async with database.transaction() as connection:
            await SlotLeases().announce(connection, "host-7", 600)
        await database.aclose()

    anyio.run(announce)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eventbus.migration.service_move._PATIENCE_SECONDS", 0.5)
        refused = eventbus(tmp_path, "migrate", *_shop(old, empty_postgres_url))
    assert refused.returncode == 1
    assert "shop is running (host-7 on" in refused.stderr
    assert ClusterAdministration(target.bootstrap, {}).names() == []


def test_a_target_with_other_records_or_rows_is_refused_and_left_as_it_is(
    tmp_path: Path, old: OldWorld, target: Log, empty_postgres_url: str
) -> None:
    """A topic of that name with something else in it; a database that a service has worked with since."""
    place = old.fill(20)
    anyio.run(old.write, old.rows(place, 11))
    assert eventbus(tmp_path, *_arguments(old, target, *_shop(old, empty_postgres_url))).returncode == 0
    producer = Producer({"bootstrap.servers": target.bootstrap})
    producer.produce("orders", b"later", partition=0)
    producer.flush()
    refused = eventbus(tmp_path, *_arguments(old, target))
    assert refused.returncode == 1
    assert "services have written to it, or it is another's; nothing was changed" in refused.stderr
    assert contents(target.bootstrap, "orders", 0)[-1][1][2] == b"later"

    async def work_on() -> None:
        database = Database.from_url(empty_postgres_url)
        async with database.transaction() as connection:
            await connection.execute(text("UPDATE eventbus_checkpoints SET next_offset = next_offset + 1"))
        await database.aclose()

    anyio.run(work_on)
    refused = eventbus(tmp_path, "migrate", *_shop(old, empty_postgres_url))
    assert refused.returncode == 1
    assert "eventbus_checkpoints has 2 rows with checksum" in refused.stderr
    assert anyio.run(_stored, empty_postgres_url) == 5


def test_a_topic_with_more_partitions_is_a_new_one(tmp_path: Path, old: OldWorld, target: Log) -> None:
    """Every key's records stay together and in order; a consumer with something left to read is refused first."""
    place = old.fill(200)
    source = BrokerProcess(old.directory / "broker").start()
    records = [content for number in range(3) for _, content in contents(source.bootstrap, "orders", number)]
    ends = ClusterAdministration(source.bootstrap, {}).ranges({"orders": 3})
    source.stop()
    anyio.run(old.write, old.rows(place, 11))
    wider = [*_arguments(old, target), "--topic", "orders=orders-5", "--partitions", "5"]
    shop = ["--service", "shop", "--from-database", old.database_url]
    refused = eventbus(tmp_path, *wider, *shop)
    assert refused.returncode == 1
    assert "shop has not read orders-0 to the end (it is at 11)" in refused.stderr

    async def read_on() -> None:
        database = Database.from_url(old.database_url)
        async with database.transaction() as connection:
            end = ends[TopicPartition("orders", 0)].end
            await connection.execute(text("UPDATE eventbus_checkpoints SET next_offset = :end"), {"end": end})
        await database.aclose()

    anyio.run(read_on)
    result = eventbus(tmp_path, *wider, *shop, "--json")
    assert result.returncode == 0, result.stderr
    new = [[content for _, content in contents(target.bootstrap, "orders-5", number)] for number in range(5)]
    keyed = sorted({content[1] for content in records if content[1] is not None})
    for key in keyed:
        held = [part for part in new if any(content[1] == key for content in part)]
        assert len(held) == 1
        assert [one for one in held[0] if one[1] == key] == [one for one in records if one[1] == key]
    assert sum(map(len, new)) == len(records)

    async def look() -> None:
        database = Database.from_url(old.database_url)
        async with database.reading() as connection:
            rows = (await connection.execute(select(checkpoints).where(checkpoints.c.consumer == "shop"))).all()
            assert sorted((row.topic, row.partition, row.next_offset) for row in rows) == [
                ("orders-5", number, len(new[number])) for number in range(5)
            ]
            assert (await connection.execute(select(outbox.c.topic))).scalar_one() == "orders-5"
        await database.aclose()

    anyio.run(look)
    assert "speaks of the new log already" not in result.stdout
    again = eventbus(tmp_path, *wider, *shop)
    assert "spoke of the new log already" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "Say what is to be moved"),
        (["--from", "embedded:x"], 2, "Say what is to be moved"),
        (["--database", "postgresql://localhost/{service}"], 2, "Say whose data"),
        (["--database", "postgresql://localhost/x", "--service", "a", "--service", "b"], 2, "write {service} in it"),
        (["--from", "embedded:missing", "--to", "kafka://localhost:1"], 2, "has no log"),
        (["--from", "nonsense", "--to", "kafka://localhost:1"], 2, "--from: 'nonsense' is neither"),
        (["--from", "memory:x", "--to", "kafka://localhost:1"], 2, "a log in memory is its process' own"),
        (["--from", "kafka://127.0.0.1:1", "--to", "kafka://127.0.0.1:2"], 1, "no broker answered at 127.0.0.1:1"),
        (["--from", "kafka://h:1", "--to", "kafka://h:1", "--topic", "a="], 1, "it is NAME or NAME=NEWNAME"),
    ],
)
def test_wrong_input_is_one_sentence(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    """Without a traceback, and before anything is begun."""
    result = eventbus(tmp_path, "migrate", *arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
