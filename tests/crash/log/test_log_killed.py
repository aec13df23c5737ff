"""The broker's log under load, killed, frozen and restarted, with a clock that jumps: the fourteen invariants hold."""

from pathlib import Path

import pytest

from tests.crash.cycles import cycles
from tests.crash.log.run import LogRun

CYCLES = cycles(4)


@pytest.mark.timeout(60 + 30 * CYCLES)
def test_the_fourteen_invariants_hold_whatever_happens_to_the_broker(tmp_path: Path, seed: int) -> None:
    """Every kind of client at once, and whatever disturbs them; everything that was asked and seen is checked."""
    run = LogRun(tmp_path, seed)
    try:
        run.start()
        run.cycles(CYCLES)
        found = run.finish()
        print(f"\n{run.figures()}, {len(found)} findings")  # noqa: T201 (what a long run amounted to)
    finally:
        run.close()
    assert not found, "\n".join(str(finding) for finding in found[:40])
    assert run.figures().acknowledged > 100 * CYCLES
