"""The simulation of docs/scale.md: what it gives where the arithmetic is known, and that the page has its numbers."""

from dataclasses import replace
from functools import partial
from itertools import islice

import pytest

from benchmarks.scale.capacity import (
    AT_ONCE_AN_INSTANCE,
    DATABASE,
    INSTANCES,
    SLOTS,
    VIEW_DATABASE,
    ladder,
    limit,
    outcome,
)
from benchmarks.scale.costs import Cost, Costs
from benchmarks.scale.engine import Disk, Servers, Simulation
from benchmarks.scale.layout import Layout
from benchmarks.scale.page import (
    PAGE,
    PICTURE,
    TABLES,
    UNTIL,
    costs_table,
    ladder_table,
    measured,
    slots_table,
)
from benchmarks.scale.rebuild import rebuild

NOTHING = Cost(0.1, 0.1, 0.1)
# A transaction of the log takes 20 ms, and a round of a slot with it: there are fewer batches to be simulated.
FREE = Costs(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, 1000.0, 20_000.0, 3.0)
ROOMY = Layout(instances=4, partitions=16, database_cores=32, view_databases=4, log_cores=32, slots=8)


def _note(simulation: Simulation, ended: list[float]) -> None:
    ended.append(simulation.now)


def test_the_page_has_the_simulations_numbers() -> None:
    """
    The tables of docs/scale.md are those that the simulation gives from costs.json: all of two, of the ladder the first
    steps (all of it would take a minute), and the picture is there.
    """
    page = PAGE.read_text(encoding="utf-8")

    assert page.count("<!-- simulated: ") == len(TABLES) == 6
    for beginning in (costs_table(), slots_table(), ladder_table(islice(ladder(measured().costs, UNTIL), 4))):
        assert beginning in page, "run: python -m benchmarks.scale"
    assert PICTURE.read_text(encoding="utf-8").startswith("<?xml")


def test_a_server_takes_one_after_the_other_and_two_take_two_at_once() -> None:
    """Four pieces of work of a second each end after four seconds with one server, after two with two."""
    for count, ends in ((1, [1.0, 2.0, 3.0, 4.0]), (2, [1.0, 1.0, 2.0, 2.0])):
        simulation, ended = Simulation(), list[float]()
        servers = Servers(simulation, count)
        for _ in range(4):
            servers.use(1.0, partial(_note, simulation, ended))
        simulation.run(10.0)
        assert (ended, servers.busy.seconds, simulation.now) == (ends, 4.0, 10.0)


def test_a_disk_syncs_once_for_all_who_wait() -> None:
    """Who asks during a sync shares the next one."""
    simulation, ended = Simulation(), list[float]()
    disk = Disk(simulation, 1.0)
    for at in (0.0, 0.2, 0.4, 0.6):
        simulation.after(at, partial(disk.sync, partial(_note, simulation, ended)))
    simulation.run(10.0)

    assert ended == [1.0, 2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("costs", "layout", "ends", "holds"),
    [
        # 100 µs of each command on four processes of one core each.
        (replace(FREE, command=Cost(100.0, 0.1)), ROOMY, INSTANCES, 40_000),
        # 200 µs of PostgreSQL's for an event handled, on two cores.
        (replace(FREE, handling=Cost(1.0, 200.0)), replace(ROOMY, database_cores=2), DATABASE, 10_000),
        # 500 µs for an event of the view, in two databases of four cores.
        (replace(FREE, view=Cost(1, 500)), replace(ROOMY, database_cores=4, view_databases=2), VIEW_DATABASE, 16_000),
        # Rounds of a thousand rows, one after the other in each of two slots, of 100 ms each.
        (replace(FREE, log_transaction_us=100_000.0), replace(ROOMY, slots=2), SLOTS, 20_000),
        # A handler that waits for a millisecond, in four partitions at a time of each of four instances.
        (FREE, replace(ROOMY, partitions=32, handler_seconds=0.001), AT_ONCE_AN_INSTANCE, 16_000),
    ],
)  # fmt: skip
def test_a_limit_is_what_the_arithmetic_says_where_one_part_costs_and_the_others_do_not(
    costs: Costs, layout: Layout, ends: str, holds: float
) -> None:
    """Within a step of the grid and what queues need, and named by the part that ends first."""
    found = limit(layout, costs, 0.6 * holds)

    assert found.ends == ends
    assert 0.75 * holds < found.load <= 1.05 * holds


def test_the_same_seed_gives_the_same_figures() -> None:
    """So the page can be compared with it."""
    assert outcome(ROOMY, FREE, 5000.0) == outcome(ROOMY, FREE, 5000.0)


def test_a_rebuild_in_four_shards_takes_a_quarter() -> None:
    """Each shard has a process and a database of its own; 20 µs are read and decoded while 30 are written."""
    costs = replace(FREE, decoding=Cost(20.0, 0.1), rebuild=Cost(30.0, 30.0))
    one, four = (rebuild(costs, shards, 0.0, replace(ROOMY, view_databases=shards)).rate for shards in (1, 4))

    assert one == pytest.approx(1e6 / 40, rel=0.2)
    assert four == pytest.approx(4 * one, rel=0.05)
