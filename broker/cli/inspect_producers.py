"""`broker inspect producers`: a snapshot of the producers of a partition."""

from argparse import Namespace
from pathlib import Path

from broker.cli.offline import EXIT_DAMAGED, read_file
from broker.cli.output import Row, print_note, print_rows, time_text
from broker.storage.names import PRODUCER_SNAPSHOT
from broker.storage.producer_snapshot import UnsoundSnapshot, parse_snapshot


def inspect_producers(parsed: Namespace) -> int:
    path: Path = parsed.file
    content = read_file(path, PRODUCER_SNAPSHOT)
    try:
        states = parse_snapshot(content, 0)
    except UnsoundSnapshot as error:
        print_note(f"{path} is damaged: {error}; a broker passes it over and reads more of the log instead")
        return EXIT_DAMAGED
    rows: list[Row] = [
        {
            "producer": state.producer_id,
            "epoch": state.producer_epoch,
            "last_sequence": state.last_sequence if state.batches else None,
            "last_offset": state.batches[-1].last_offset if state.batches else None,
            "batches_kept": len(state.batches),
            "time": time_text(state.last_timestamp),
            "transaction_since": state.transaction_start,
            "coordinator_epoch": state.coordinator_epoch if state.coordinator_epoch >= 0 else None,
        }
        for state in states
    ]
    print_rows(rows, as_json=parsed.json, empty=f"{path.name} has no producers.")
    return 0
