"""
`broker serve`: configuration, address, broker, ready file, and then the loop until a signal.

What the user has to put right first is `Refused`, with one sentence that names it and the way out.
"""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from broker.cli.address import Address, UnreadableAddress, parse_address
from broker.cli.log_lines import OneLine
from broker.cli.ready_file import remove_ready_file, write_ready_file
from broker.cli.refused import Refused
from broker.cli.while_locked import when_unlocked
from broker.config import BrokerConfig, InvalidConfig, parse_assignment, read_properties
from broker.errors import BrokerError
from broker.server import AddressUnusable, Broker, BrokerSettings, bind

LOG = logging.getLogger("broker.serve")

DATA_DIR_DEFAULT = Path("broker-data")
_PROTOCOL = "PLAINTEXT://"


@dataclass(frozen=True, slots=True)
class ServeArguments:
    """The command line of `broker serve`, as given."""

    data_dir: Path | None = None
    listen: str | None = None
    advertise: str | None = None
    config: Path | None = None
    settings: tuple[str, ...] = ()
    ready_file: Path | None = None
    while_locked: Path | None = None
    metrics_listen: str | None = None


def run(parsed: Namespace) -> int:
    """`broker serve` as the command line has it."""
    return serve(
        ServeArguments(
            data_dir=parsed.data_dir,
            listen=parsed.listen,
            advertise=parsed.advertise,
            config=parsed.config,
            settings=tuple(parsed.settings),
            ready_file=parsed.ready_file,
            while_locked=parsed.while_locked,
            metrics_listen=parsed.metrics_listen,
        )
    )


def serve(arguments: ServeArguments) -> int:
    """Serves until SIGTERM or SIGINT; returns 0 after a clean stop. Raises Refused."""
    _log_to_standard_error()
    try:
        texts = _settings(arguments)
        config = BrokerConfig.parse(texts)
        listen = _listen_address(arguments, config)
        advertised = _advertised_address(arguments, config, listen)
        metrics_text = arguments.metrics_listen
        metrics_listen = None if metrics_text is None else parse_address(metrics_text, "--metrics-listen")
    except (InvalidConfig, UnreadableAddress) as error:
        raise Refused(str(error)) from error
    data_dir = arguments.data_dir or (Path(config.log_dirs) if config.log_dirs else DATA_DIR_DEFAULT)
    _raise_descriptor_limit()
    metrics: socket.socket | None = None
    try:
        listening = bind(listen.host, listen.port)
        if metrics_listen is not None:
            metrics = bind(metrics_listen.host, metrics_listen.port, option="--metrics-listen")
    except AddressUnusable as error:
        raise Refused(str(error)) from error
    port = int(listening.getsockname()[1])
    advertised = Address(advertised.host, advertised.port or port)
    # What was settled here is what DescribeConfigs is to tell.
    settled = {
        "listeners": f"{_PROTOCOL}{Address(listen.host, port)}",
        "advertised.listeners": f"{_PROTOCOL}{advertised}",
        "log.dirs": str(data_dir.absolute()),
    }
    config = BrokerConfig.parse({**texts, **settled})
    with listening, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        settings = BrokerSettings(data_dir.absolute(), config, advertised.host, advertised.port)
        return runner.run(_serve(arguments, settings, listen, listening, metrics))


async def _serve(
    arguments: ServeArguments,
    settings: BrokerSettings,
    listen: Address,
    listening: socket.socket,
    metrics: socket.socket | None,
) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        broker = Broker(loop, settings, listening)
    except BrokerError as error:
        raise Refused(str(error)) from error
    except OSError as error:
        raise Refused(
            f"{settings.data_dir}: {error.strerror or error}; give a directory that can be written with --data-dir DIR"
        ) from error
    loop.add_signal_handler(signal.SIGUSR1, broker.clean)
    address = Address(listen.host, broker.listener.port)
    metrics_server, metrics_port = None, None
    if metrics is not None:
        # Who does not ask for it does not pay for its import.
        from broker.server.metrics import MetricsServer

        metrics_port = int(metrics.getsockname()[1])
        metrics_server = await MetricsServer.start(broker, metrics)
    try:
        if arguments.while_locked is not None:
            when_unlocked(arguments.while_locked, lambda: loop.call_soon_threadsafe(_last_user_left, stop))
        # Whoever started it may have gone already; that is no reason not to serve.
        with contextlib.suppress(BrokenPipeError):
            print(f"listening on {address}", flush=True)  # noqa: T201  # the promise to whoever started it
        if arguments.ready_file is not None:
            write_ready_file(
                arguments.ready_file, host=address.host, port=address.port, pid=os.getpid(), metrics_port=metrics_port
            )
    except OSError as error:
        await broker.stop()
        raise Refused(f"{error.filename}: {error.strerror}; give a file that can be written") from error
    LOG.info("listening address=%s data_dir=%s topics=%d", address, settings.data_dir, len(broker.state.catalog))
    if metrics_port is not None:
        LOG.info("metrics listening port=%d pages=/metrics,/healthz,/readyz", metrics_port)
    await stop.wait()
    await broker.stop()
    if metrics_server is not None:
        metrics_server.stop()
    if arguments.ready_file is not None:
        remove_ready_file(arguments.ready_file, os.getpid())
    return 0


def _last_user_left(stop: asyncio.Event) -> None:
    LOG.info("stopping reason=%s", "nobody holds the lock of --while-locked any more")
    stop.set()


def _settings(arguments: ServeArguments) -> Mapping[str, str]:
    texts: dict[str, str] = {}
    if arguments.config is not None:
        texts.update(read_properties(arguments.config))
    texts.update(parse_assignment(assignment) for assignment in arguments.settings)
    return texts


def _listen_address(arguments: ServeArguments, config: BrokerConfig) -> Address:
    if arguments.listen is not None:
        return parse_address(arguments.listen, "--listen")
    return _listener(config.listeners, "listeners")


def _advertised_address(arguments: ServeArguments, config: BrokerConfig, listen: Address) -> Address:
    """The address for clients; port 0 stands for the one that is listened on."""
    if arguments.advertise is not None:
        return _not_a_wildcard(parse_address(arguments.advertise, "--advertise"), "--advertise")
    if config.advertised_listeners:
        return _not_a_wildcard(_listener(config.advertised_listeners, "advertised.listeners"), "advertised.listeners")
    if listen.is_wildcard:
        raise Refused(
            f"--listen {listen}: clients cannot connect to {listen.host or 'an empty host'}; "
            f"say which name or address they are to use with --advertise HOST:{listen.port}"
        )
    return Address(listen.host, 0)


def _listener(text: str, key: str) -> Address:
    """The address of a listener setting: one, and in the clear."""
    if not text.startswith(_PROTOCOL) or "," in text:
        raise UnreadableAddress(f"{key}={text}: expected one listener, {_PROTOCOL}HOST:PORT")
    return parse_address(text.removeprefix(_PROTOCOL), key)


def _not_a_wildcard(address: Address, option: str) -> Address:
    if address.is_wildcard:
        raise Refused(f"{option} {address}: clients cannot connect to that; give a name or an address of this machine")
    return address


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop
    return asyncio.new_event_loop


def _raise_descriptor_limit() -> None:
    """Each partition keeps a file open and each connection a socket: as many as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1 << 20 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _log_to_standard_error() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    logger = logging.getLogger("broker")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
