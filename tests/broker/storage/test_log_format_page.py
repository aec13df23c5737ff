"""The page on the log format shows bytes that are true."""

import re
from pathlib import Path

from kafka.record.default_records import DefaultRecordBatch

from broker.records import NewRecord, build_batch

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "log-format.md"


def test_the_worked_example_is_what_the_builder_writes() -> None:
    """The bytes in front of each line's explanation, in order, are the batch; an independent reader agrees."""
    block = PAGE.read_text().split("### A worked example")[1].split("```")[1]
    shown = bytes.fromhex("".join(re.findall(r"^((?:[0-9a-f]{2} )+) {1,}", block, flags=re.MULTILINE)))
    order = NewRecord(b"o-1", b'{"total":5}', 1_700_000_000_000, (("ce_id", b"7"),))
    tombstone = NewRecord(b"o-1", None, 1_700_000_000_025)
    batch = build_batch(
        [order, tombstone],
        timestamp=0,
        base_offset=42,
        leader_epoch=3,
        producer_id=9,
        producer_epoch=0,
        base_sequence=12,
    )
    assert shown == bytes(batch)
    theirs = DefaultRecordBatch(shown)
    assert theirs.validate_crc()
    assert [(record.offset, record.value) for record in theirs] == [(42, b'{"total":5}'), (43, None)]
