"""`broker recover`: what a start does after a crash, offline; with --check on a file system that keeps nothing."""

import logging
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from broker.cli.offline import EXIT_DAMAGED
from broker.cli.output import JsonValue, print_json, print_line, print_table
from broker.cli.pretended_files import PretendedFileSystem
from broker.cli.refused import Refused
from broker.clock import SystemClock
from broker.config import BrokerConfig, InvalidConfig, parse_assignment, read_properties
from broker.delayed import Purgatory
from broker.errors import BrokerError
from broker.storage import DataDirectory, DiskFileSystem
from broker.topics import Catalog, remove_directories

_META = "meta.properties"


def recover(parsed: Namespace) -> int:
    path: Path = parsed.directory.absolute()
    checks: bool = parsed.check
    if not (path / _META).exists():
        raise Refused(f"{path} is no data directory of a broker: it has no {_META}")
    config = _config(parsed)
    # Its findings are the answer; its log would say them twice.
    logging.getLogger("broker").addHandler(logging.NullHandler())
    logging.getLogger("broker").propagate = False
    files = PretendedFileSystem() if checks else DiskFileSystem()
    try:
        directory = DataDirectory.open(path, files=files, node_id=config.node_id)
        was_clean = directory.clean
        catalog = Catalog(directory, files=files, clock=SystemClock(), config=config, parked=Purgatory())
        rows = list(_rows(catalog))
        closed = catalog.close(clean=True)
        catalog.write_checkpoints()
        if not checks:
            remove_directories(catalog.take_doomed(), files)
        directory.close(clean=closed)
    except (BrokerError, OSError) as error:
        raise Refused(str(error)) from error
    damaged = [row for row in rows if row["bytes_cut"] or row["segments_dropped"] or row["offline"] is not None]
    if parsed.json:
        print_json({"directory": str(path), "was_clean": was_clean, "checked_only": checks, "partitions": rows})
        return EXIT_DAMAGED if damaged else 0
    print_line(f"{path} was left {'by a clean stop' if was_clean else 'without a clean stop'}; {len(rows)} partitions")
    touched = [row for row in rows if row["bytes_read"] or row in damaged]
    print_table(touched, empty="Nothing has to be read again.")
    if checks:
        print_line("nothing was changed" + ("; `broker serve`, or this without --check, does it" if damaged else ""))
    else:
        print_line(
            "recovered, and marked as cleanly closed" if closed else "recovered, but not everything could be closed"
        )
    return EXIT_DAMAGED if damaged else 0


def _rows(catalog: Catalog) -> Iterator[dict[str, JsonValue]]:
    for topic in catalog:
        for partition in topic.partitions:
            if partition.unopened is not None:
                yield {
                    "partition": str(partition),
                    "batches_read": 0,
                    "bytes_read": 0,
                    "bytes_cut": 0,
                    "segments_dropped": 0,
                    "end": None,
                    "offline": partition.unopened.message,
                }
                continue
            found = partition.log.recovered
            yield {
                "partition": str(partition),
                "batches_read": found.batches,
                "bytes_read": found.bytes_read,
                "bytes_cut": found.bytes_cut,
                "segments_dropped": found.segments_dropped,
                "end": partition.log.next_offset,
                "offline": partition.log.offline,
            }


def _config(parsed: Namespace) -> BrokerConfig:
    texts: dict[str, str] = {}
    file: Path | None = parsed.config
    settings: list[str] = parsed.settings
    try:
        if file is not None:
            texts.update(read_properties(file))
        texts.update(parse_assignment(each) for each in settings)
        return BrokerConfig.parse(texts)
    except InvalidConfig as error:
        raise Refused(str(error)) from error
