"""What the commands promise of any Kafka-protocol address: of `broker serve` here, of Apache Kafka in tests/interop."""

import gc
import io
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import cast
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer

from broker.cli import main

Row = Mapping[str, object]


class Commands:
    """`broker …` in this process, at one address."""

    def __init__(self, bootstrap: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.bootstrap = bootstrap
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def run(self, command: str, *arguments: str, feed: str = "") -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(feed.encode())))
        self._capsys.readouterr()
        code = main([*command.split(), *arguments, "--bootstrap", self.bootstrap])
        gc.enable()
        told = self._capsys.readouterr()
        return code, told.out, told.err

    def done(self, command: str, *arguments: str, feed: str = "") -> str:
        """Standard output of a command that has to succeed."""
        code, out, err = self.run(command, *arguments, feed=feed)
        assert code == 0, err
        return out

    def json(self, command: str, *arguments: str, feed: str = "") -> object:
        return json.loads(self.done(command, *arguments, "--json", feed=feed))

    def rows(self, command: str, *arguments: str) -> list[Row]:
        return cast("list[Row]", self.json(command, *arguments))

    def lines(self, command: str, *arguments: str) -> list[Row]:
        """JSON lines."""
        return [json.loads(line) for line in self.done(command, *arguments, "--json").splitlines()]

    def refused(self, command: str, *arguments: str) -> str:
        """The sentence of a command that has to be refused."""
        code, out, err = self.run(command, *arguments)
        assert (code, out) == (2, ""), out + err
        assert err.startswith("broker ")
        assert err.count("\n") == 1
        return err


class CommandsContract:
    """A subclass gives the fixture `bootstrap`."""

    @pytest.fixture
    def commands(
        self, bootstrap: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Commands]:
        yield Commands(bootstrap, capsys, monkeypatch)
        gc.enable()

    @pytest.fixture
    def orders(self, commands: Commands) -> str:
        """A topic with three partitions and the records a=1 to f=6, of which each key has its partition."""
        topic = f"orders-{uuid4().hex[:8]}"
        commands.done("topics create", topic, "--partitions", "3")
        feed = "".join(f"{key}:{value}\n" for value, key in enumerate("abcdef", start=1))
        commands.done("records produce", topic, "--key-separator", ":", "--header", "source=test", feed=feed)
        return topic

    def test_a_topic_is_created_described_widened_and_deleted(self, commands: Commands) -> None:
        """What was asked for is what is told afterwards."""
        topic = f"topic-{uuid4().hex[:8]}"
        commands.done("topics create", topic, "--partitions", "2", "--config", "retention.ms=123456")
        assert topic in commands.done("topics list")
        (described,) = commands.rows("topics describe", topic)
        assert described["topic"] == topic
        assert described["configs"] == {"retention.ms": "123456"}
        partitions = cast("Sequence[Row]", described["partitions"])
        assert [(each["partition"], each["start"], each["end"]) for each in partitions] == [(0, 0, 0), (1, 0, 0)]
        commands.done("topics add-partitions", topic, "3")
        assert "has 3 partitions already" in commands.refused("topics add-partitions", topic, "3")
        assert "is there already" in commands.refused("topics create", topic)
        commands.done("topics delete", topic)
        assert topic not in {row["topic"] for row in commands.rows("topics list")}

    def test_records_come_back_with_key_headers_and_time(self, commands: Commands, orders: str) -> None:
        """As JSON lines and as text; the partitions are those of the Java client's murmur2."""
        read = commands.lines("records read", orders)
        assert {(row["key"], row["value"]) for row in read} == {
            (key, str(n)) for n, key in enumerate("abcdef", start=1)
        }
        assert all(row["headers"] == [["source", "test"]] for row in read)
        assert all(str(row["time"]).startswith("20") for row in read)
        assert {row["key"]: row["partition"] for row in read} == MURMUR2_OF_THREE
        assert "a 1 | source=test" in commands.done("records read", orders)
        values = commands.done("records read", orders, "--format", "value", "--max", "2").splitlines()
        assert len(values) == 2
        assert commands.done("records read", orders, "--format", "key-value", "--partition", "1").count("\t") == len(
            [key for key, partition in MURMUR2_OF_THREE.items() if partition == 1]
        )

    def test_what_was_read_as_json_can_be_produced_again(self, commands: Commands, orders: str) -> None:
        """Tombstones, bytes that are no text, and headers without a value, too."""
        odd = {"key": {"base64": "AP8="}, "value": None, "headers": [["h", None], ["h", {"base64": "/w=="}]]}
        commands.done("records produce", orders, "--from-json", "--partition", "0", feed=json.dumps(odd) + "\n")
        copies = f"{orders}-copies"
        commands.done("topics create", copies, "--partitions", "1")
        feed = commands.done("records read", orders, "--json")
        commands.done("records produce", copies, "--from-json", feed=feed)

        def contents(topic: str) -> set[str]:
            lines = commands.lines("records read", topic)
            return {json.dumps([row["key"], row["value"], row["headers"]]) for row in lines}

        assert contents(copies) == contents(orders)
        assert json.dumps([odd["key"], None, odd["headers"]]) in contents(copies)

    def test_reading_begins_where_it_is_told(self, commands: Commands, orders: str) -> None:
        """An offset, so many before the end, a time; tail gives the last of each partition."""
        everything = commands.lines("records read", orders)
        (one, *_) = [row for row in everything if row["key"] == "e"]
        place = ["--partition", str(one["partition"]), "--from", str(one["offset"]), "--max", "1"]
        assert commands.lines("records read", orders, *place) == [one]
        partitions = {row["partition"] for row in everything}
        assert len(commands.lines("records read", orders, "--from", "-1")) == len(partitions)
        assert len(commands.lines("records tail", orders, "--last", "1")) == len(partitions)
        assert commands.lines("records read", orders, "--from", "1h") == everything
        assert commands.lines("records read", orders, "--from", "2100-01-01T00:00Z") == []
        assert commands.lines("records read", orders, "--from", "end") == []

    def test_aborted_and_open_records_are_shown_on_request_only(self, commands: Commands, orders: str) -> None:
        """One record each of a committed, an aborted and an open transaction."""
        producer = Producer({"bootstrap.servers": commands.bootstrap, "transactional.id": orders})
        producer.init_transactions(20)
        for value, end in (("committed", producer.commit_transaction), ("aborted", producer.abort_transaction)):
            producer.begin_transaction()
            producer.produce(orders, value, partition=0)
            producer.flush(20)
            end(20)
        producer.begin_transaction()
        producer.produce(orders, "open", partition=0)
        producer.flush(20)
        values = commands.done("records read", orders, "--format", "value").split()
        assert {"committed"} == {*values} & {"committed", "aborted", "open"}
        values = commands.done("records read", orders, "--format", "value", "--uncommitted").split()
        assert {*values} >= {"committed", "aborted", "open"}
        assert cast("Row", commands.json("records count", orders))["records"] == 7
        assert cast("Row", commands.json("records count", orders, "--uncommitted"))["records"] == 9

        (listed,) = [row for row in commands.rows("transactions list") if row["transactional_id"] == orders]
        assert listed["state"] == "Ongoing"
        (described,) = commands.rows("transactions describe", orders)
        assert described["partitions"] == [f"{orders}-0"]
        code, _, note = commands.run("transactions abort", orders)
        assert (code, "nothing was changed" in note) == (0, True)
        commands.done("transactions abort", orders, "--execute")
        assert "no transaction open" in commands.refused("transactions abort", orders)
        assert "open" not in commands.done("records read", orders, "--format", "value").split()
        with pytest.raises(Exception, match=r"fenced|FENCED|epoch"):
            producer.commit_transaction(20)

    def test_records_before_a_place_are_deleted(self, commands: Commands, orders: str) -> None:
        """Then the partitions begin there."""
        place = ["--partition", str(MURMUR2_OF_THREE["a"])]
        (before,) = commands.rows("topics delete-records", orders, "--before", "1", *place)
        assert (before["start_was"], before["start"]) == (0, 1)
        assert "a" not in {row["key"] for row in commands.lines("records read", orders)}
        commands.done("topics delete-records", orders, "--before", "end")
        assert commands.lines("records read", orders) == []
        assert "nothing before the beginning" in commands.refused(
            "topics delete-records", orders, "--before", "beginning"
        )

    def test_a_group_is_described_with_its_lag_and_reset_when_it_rests(self, commands: Commands, orders: str) -> None:
        """A dry run changes nothing; a group with members is refused, with who they are."""
        group = f"group-{orders}"
        consumer = Consumer(
            {
                "bootstrap.servers": commands.bootstrap,
                "group.id": group,
                "client.id": "the-reader",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        consumer.subscribe([orders])
        left = time.monotonic() + 30
        seen = 0
        while seen < 6 and time.monotonic() < left:
            seen += consumer.poll(1) is not None
        consumer.commit(asynchronous=False)
        try:
            assert group in {row["group"] for row in commands.rows("groups list")}
            (described,) = commands.rows("groups describe", group)
            assert described["lag"] == 0
            assert [member["client"] for member in cast("Sequence[Row]", described["members"])] == ["the-reader"]
            refusal = commands.refused("groups reset-offsets", group, "--to-earliest", "--execute")
            assert "1 members (the-reader" in refusal
            assert "stop its consumers first" in refusal
            assert "stop its consumers first" in commands.refused("groups delete", group)
        finally:
            consumer.close()

        reset = ["groups reset-offsets", group, "--topic", orders]
        code, _, note = commands.run(*reset, "--to-earliest")
        assert (code, note) == (0, "nothing was changed; --execute does it\n")
        told = commands.json(*reset, "--to-earliest")
        assert lag_of(commands, group) == 0
        done = commands.json(*reset, "--to-earliest", "--execute")
        assert isinstance(told, dict)
        assert (told["group"], told["executed"], len(told["offsets"])) == (group, False, 3)
        assert done == {**told, "executed": True}
        assert lag_of(commands, group) == 6
        commands.done(*reset, "--to-latest", "--execute")
        assert lag_of(commands, group) == 0
        commands.done(*reset, "--shift-by", "-1", "--execute")
        assert lag_of(commands, group) == len(set(MURMUR2_OF_THREE.values()))
        commands.done(*reset, "--to-time", "1h", "--execute")
        assert lag_of(commands, group) == 6
        commands.done(
            "groups reset-offsets",
            group,
            "--topic",
            f"{orders}:{MURMUR2_OF_THREE['a']}",
            "--to-offset",
            "1",
            "--execute",
        )
        assert lag_of(commands, group) == 5
        commands.done("groups delete", group)
        assert "there is no group" in commands.refused("groups describe", group)

    def test_configs_are_shown_set_and_unset(self, commands: Commands, orders: str) -> None:
        """Those that are not the default are marked; --all shows the others."""
        commands.done("configs set", "topic", orders, "retention.ms=3600000", "cleanup.policy=compact")
        shown = {row["config"]: row["value"] for row in commands.rows("configs show", "topic", orders)}
        assert shown["retention.ms"] == "3600000"
        assert shown["cleanup.policy"] == "compact"
        assert "retention.bytes" not in shown
        marked = [line for line in commands.done("configs show", "topic", orders, "--all").splitlines() if "*" in line]
        assert any("retention.ms" in line for line in marked)
        commands.done("configs unset", "topic", orders, "retention.ms")
        (row,) = [r for r in commands.rows("configs show", "topic", orders, "--all") if r["config"] == "retention.ms"]
        assert (row["value"], row["is_default"]) == ("604800000", True)
        assert "did you mean" in commands.refused("configs set", "topic", orders, "retention.mss=1")
        assert "there is no broker '99'" in commands.refused("configs show", "broker", "99")
        assert commands.done("configs show", "broker", "1", "--all").count("\n") > 50

    def test_what_is_not_there_is_named_with_what_sounds_alike(self, commands: Commands, orders: str) -> None:
        """A topic, a group, a partition, a transactional id."""
        wrong = orders[:-1]
        assert f"did you mean {orders}" in commands.refused("topics describe", wrong)
        assert f"did you mean {orders}" in commands.refused("records read", wrong)
        assert f"did you mean {orders}" in commands.refused("records produce", wrong)
        assert "partitions 0 to 2, not 7" in commands.refused("records read", orders, "--partition", "7")
        assert "there is no group" in commands.refused("groups describe", wrong)
        assert "there is no transactional id" in commands.refused("transactions describe", wrong)
        assert wrong not in {row["topic"] for row in commands.rows("topics list")}


def lag_of(commands: Commands, group: str) -> object:
    (described,) = commands.rows("groups describe", group)
    return described["lag"]


MURMUR2_OF_THREE = {"a": 1, "b": 2, "c": 1, "d": 2, "e": 2, "f": 0}
"""The partitions of these keys, as kafka-python's port of the Java client has them."""
