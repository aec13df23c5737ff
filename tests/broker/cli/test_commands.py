"""The commands on `broker serve`, and what they say when they cannot even begin."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from broker.cli import main
from broker.cli.command import COMMANDS
from tests.broker.cli.commands import CommandsContract
from tests.servers.broker_process import BrokerProcess


class TestCommandsOnTheBroker(CommandsContract):
    @pytest.fixture
    def bootstrap(self, broker: BrokerProcess) -> str:
        return broker.bootstrap


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    return told.err


def test_an_address_that_cannot_be_reached_is_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """With the way out; librdkafka would try for long and say little."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    begun = time.monotonic()
    said = refusal(capsys, "topics", "list", "--bootstrap", f"127.0.0.1:{port}")
    assert f"127.0.0.1:{port}: Connection refused" in said
    assert "broker serve" in said
    assert time.monotonic() - begun < 15
    assert "expected HOST:PORT" in refusal(capsys, "topics", "list", "--bootstrap", "localhost")
    assert "KEY=VALUE" in refusal(capsys, "topics", "list", "--client", "x")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("records", "read", "t", "--from", "yesterday"), "is no place in a log"),
        (("groups", "reset-offsets", "g", "--to-time", "soon"), "is no time"),
        (("topics", "delete-records", "t", "--before", "x"), "is no place in a log"),
        (("topics", "list", "--client", "no.such.setting=1"), "no.such.setting"),
    ],
)
def test_what_cannot_be_understood_is_told_with_what_was_expected(
    capsys: pytest.CaptureFixture[str], broker: BrokerProcess, arguments: tuple[str, ...], said: str
) -> None:
    """One sentence, exit code 2."""
    command = list(arguments)
    if command[:2] != ["topics", "list"]:
        main(["topics", "create", "t", "--bootstrap", broker.bootstrap])
        capsys.readouterr()
    assert said in refusal(capsys, *command, "--bootstrap", broker.bootstrap)


@pytest.fixture
def heeded_interrupts() -> Iterator[None]:
    """A test run in the background of a shell has SIGINT ignored, and its children would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded_interrupts")
def test_tail_follows_until_it_is_interrupted(broker: BrokerProcess, topic: str) -> None:
    """What comes is written at once, into a pipe too; Ctrl-C ends it with exit code 130 and without a word."""
    at = ["--bootstrap", broker.bootstrap]
    assert main(["topics", "create", topic, *at]) == 0
    command = [sys.executable, "-m", "broker", "records", "tail", topic, "--follow", "--format", "value", *at]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        for value in ("one", "two"):
            produce = [sys.executable, "-m", "broker", "records", "produce", topic, *at]
            subprocess.run(produce, input=f"{value}\n", text=True, check=True, capture_output=True, timeout=20)
            assert tail.stdout.readline() == f"{value}\n"
        os.kill(tail.pid, signal.SIGINT)
        assert tail.wait(10) == 130
        assert tail.stderr.read() == ""


def test_a_reader_that_has_seen_enough_ends_the_command(broker: BrokerProcess, topic: str) -> None:
    """`| head -1` is no error."""
    at = f"--bootstrap {broker.bootstrap}"
    python = f"{sys.executable} -m broker"
    shell = (
        f"{python} topics create {topic} {at} && seq 20000 | {python} records produce {topic} {at} >/dev/null && "
        f"{python} records read {topic} --format value {at} | head -1"
    )
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, timeout=40, check=True)  # noqa: S602  # a pipe of the shell is the point
    assert done.stdout.splitlines()[-1] == "1"
    assert done.stderr == ""


def test_help_and_serve_import_no_client_library() -> None:
    """librdkafka and rich cost more than all of `broker --help`."""
    script = (
        "import sys; from broker.cli.command import parser; parser(*sys.argv[1:]);"
        "print([name for name in ('confluent_kafka', 'rich', 'broker.server') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *COMMANDS], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "[]\n"
