"""The checker's teeth on real brokers: each is broken on purpose, and found under the number of what it breaks."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.crash.log.checker import Finding
from tests.crash.log.faults import FAULTS
from tests.crash.log.run import LogRun

ROLES = {
    "acks-before-the-write": {"producer", "watcher"},
    "starts-without-the-last-records": {"producer", "watcher", "reader"},
    "duplicates-accepted": {"repeater", "watcher"},
    "aborted-records-visible": {"changer", "reader"},
    "lso-ignored": {"changer", "reader"},
    "reads-skip-a-batch": {"producer", "reader"},
    "ends-hit-the-next-transaction": {"repeater", "watcher"},
    "staged-offsets-always-count": {"producer", "copier", "groups"},
    "offsets-not-durable": {"producer", "member", "groups"},
    "zombies-not-fenced": {"changer"},
    "high-watermark-beyond-the-end": {"producer", "watcher"},
    "compaction-drops-the-last": {"producer", "watcher"},
    "answers-nothing-after-a-restart": {"watcher"},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_broker_is_found_under_the_invariant_that_it_breaks(tmp_path: Path, seed: int, fault: str) -> None:
    """Half a second of load and one kill are enough, as a rule; on a busy machine little may have been on its way."""
    wanted = FAULTS[fault].invariants
    for attempt in range(3):
        found = _played(tmp_path / str(attempt), seed + attempt, fault)
        if {finding.invariant for finding in found} >= wanted:
            return
    pytest.fail(f"{wanted} not found, but {[str(each) for each in found[:10]]}")


def _played(folder: Path, seed: int, fault: str) -> Sequence[Finding]:
    folder.mkdir()
    run = LogRun(folder, seed, only=frozenset(ROLES[fault]), broken=fault, jumps=False, resumes_s=2)
    try:
        run.start()
        run.load(0.6)
        run.fault("kill")
        if run.await_progress():
            run.load(0.3)
        return run.finish()
    finally:
        run.close()


def test_every_invariant_has_a_broker_that_breaks_it() -> None:
    """Fourteen numbers, and none that is only written down."""
    assert frozenset().union(*(fault.invariants for fault in FAULTS.values())) == frozenset(range(1, 15))
