"""Every scenario, a family to a file."""

from tests.interop.differential.scenario import Scenario
from tests.interop.differential.scenarios import (
    admin,
    consumer_group_moves,
    consumer_groups,
    frames,
    groups,
    records,
    topics,
    transactions,
)

SCENARIOS: list[Scenario] = [
    *admin.SCENARIOS,
    *records.SCENARIOS,
    *topics.SCENARIOS,
    *groups.SCENARIOS,
    *transactions.SCENARIOS,
    *consumer_group_moves.SCENARIOS,
    *consumer_groups.SCENARIOS,
    *frames.SCENARIOS,
]
