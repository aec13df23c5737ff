"""
The fourteen invariants of a log (Jepsen's checklist), held against a history. Pure: a history in, findings out.

 1  no acknowledged record is lost                  8  an end happens once and never hits a later transaction
 2  an offset has one value, for everybody          9  offsets committed in a transaction are those of its output
 3  no record is there twice                       10  a group's offset never goes back unasked
 4  no aborted record is read                      11  zombies are fenced
 5  no transaction reads its own open writes       12  start <= LSO <= high watermark <= end; none of them goes back
 6  polls neither skip nor go back                 13  compaction keeps the last value of every key
 7  read_committed never passes an open one        14  after a fault everything goes on
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from tests.crash.log import group_rules, record_rules, transaction_rules
from tests.crash.log.facts import Facts
from tests.crash.log.history import Completed, Invoked

INVARIANTS: Mapping[int, Callable[[Facts], Iterator[str]]] = {
    1: record_rules.lost,
    2: record_rules.two_values,
    3: record_rules.twice,
    4: transaction_rules.aborted_reads,
    5: transaction_rules.own_reads,
    6: record_rules.skipped,
    7: transaction_rules.open_reads,
    8: transaction_rules.wrong_ends,
    9: group_rules.offsets_without_output,
    10: group_rules.offsets_gone_back,
    11: transaction_rules.zombies,
    12: record_rules.bounds,
    13: record_rules.compacted_away,
    14: group_rules.stuck,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """An invariant that does not hold, and the records and operations that show it."""

    invariant: int
    text: str

    def __str__(self) -> str:
        return f"invariant {self.invariant}: {self.text}"


def findings(events: Iterable[Invoked | Completed]) -> list[Finding]:
    """All of them, by invariant."""
    facts = Facts(events)
    return [Finding(number, text) for number, invariant in INVARIANTS.items() for text in invariant(facts)]
