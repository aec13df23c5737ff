"""The purgatory: whatever is parked leaves once, in one of three ways."""

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.delayed import Purgatory


class Operation:
    """Completes when it is allowed to; counts what happens to it."""

    def __init__(self, ready: Callable[[], bool] = lambda: False) -> None:
        self.ready = ready
        self.completed = 0
        self.expired = 0

    def try_complete(self) -> bool:
        if not self.ready():
            return False
        self.completed += 1
        return True

    def expire(self) -> None:
        self.expired += 1


def test_a_wake_completes_what_is_ready_and_leaves_the_rest() -> None:
    """Only the operations under the key are tried, and only those whose condition holds leave."""
    purgatory = Purgatory()
    ready, waiting, elsewhere = Operation(lambda: True), Operation(), Operation(lambda: True)
    for operation, key in ((ready, "a"), (waiting, "a"), (elsewhere, "b")):
        purgatory.park(operation, keys=[key], deadline=10.0)
    assert purgatory.wake("a") == 1
    assert (ready.completed, waiting.completed, elsewhere.completed) == (1, 0, 0)
    assert len(purgatory) == 2


def test_an_operation_under_several_keys_completes_once() -> None:
    """The second key's wake finds nothing, and neither does the deadline."""
    purgatory = Purgatory()
    operation = Operation(lambda: True)
    purgatory.park(operation, keys=["a", "b", "a"], deadline=1.0)
    assert (purgatory.wake("b"), purgatory.wake("a"), purgatory.expire(2.0)) == (1, 0, 0)
    assert (operation.completed, operation.expired) == (1, 0)


def test_deadlines_expire_in_order_and_not_before_their_time() -> None:
    """expire(now) takes what is due, the earliest first, and next_deadline tells of the rest."""
    purgatory = Purgatory()
    order: list[str] = []

    class Named(Operation):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def expire(self) -> None:
            order.append(self.name)

    for name, deadline in (("late", 3.0), ("early", 1.0), ("middle", 2.0)):
        purgatory.park(Named(name), keys=["k"], deadline=deadline)
    assert purgatory.next_deadline() == 1.0
    assert purgatory.expire(2.0) == 2
    assert (order, purgatory.next_deadline()) == (["early", "middle"], 3.0)


def test_what_a_closed_connection_had_parked_is_dropped_without_an_answer() -> None:
    """Detached operations are neither completed nor expired; other owners' are."""
    purgatory = Purgatory()
    gone, here = Operation(lambda: True), Operation(lambda: True)
    purgatory.park(gone, keys=["k"], deadline=1.0, owner="gone")
    purgatory.park(here, keys=["k"], deadline=1.0, owner="here")
    assert purgatory.detach("gone") == 1
    assert purgatory.wake("k") == 1
    assert purgatory.expire(9.0) == 0
    assert (gone.completed, gone.expired, here.completed) == (0, 0, 1)


def test_an_operation_detached_while_others_are_woken_is_not_tried() -> None:
    """Completing one operation may close the connection that owns the next one."""
    purgatory = Purgatory()
    closes = Operation(lambda: purgatory.detach("owner") == 1)
    owned = Operation(lambda: True)
    purgatory.park(closes, keys=["k"], deadline=1.0)
    purgatory.park(owned, keys=["k"], deadline=1.0, owner="owner")
    assert purgatory.wake("k") == 1
    assert owned.completed == 0


def test_a_stop_expires_everything() -> None:
    """expire_all answers whatever waits, however far its deadline."""
    purgatory = Purgatory()
    operations = [Operation() for _ in range(3)]
    for number, operation in enumerate(operations):
        purgatory.park(operation, keys=[number], deadline=1e9)
    assert purgatory.expire_all() == 3
    assert [operation.expired for operation in operations] == [1, 1, 1]
    assert (len(purgatory), purgatory.next_deadline()) == (0, None)


def test_the_heap_does_not_grow_with_what_has_left() -> None:
    """A million satisfied long polls with far deadlines must not stay in memory."""
    purgatory = Purgatory()
    for _ in range(10_000):
        purgatory.park(Operation(lambda: True), keys=["k"], deadline=1e9)
        purgatory.wake("k")
    assert len(purgatory._heap) < 200


class Lives(RuleBasedStateMachine):
    """Any mixture of parking, waking, expiring and detaching: each operation leaves at most once."""

    def __init__(self) -> None:
        super().__init__()
        self.purgatory = Purgatory()
        self.now = 0.0
        self.alive: list[tuple[Operation, set[int], float, int]] = []
        self.all: list[Operation] = []

    @rule(
        keys=st.sets(st.integers(0, 3), min_size=1), wait=st.integers(0, 5), owner=st.integers(1, 3), ok=st.booleans()
    )
    def park(self, keys: set[int], wait: int, owner: int, ok: bool) -> None:
        operation = Operation(lambda: ok)
        self.purgatory.park(operation, keys=keys, deadline=self.now + wait, owner=owner)
        self.alive.append((operation, keys, self.now + wait, owner))
        self.all.append(operation)

    @rule(key=st.integers(0, 3))
    def wake(self, key: int) -> None:
        self.purgatory.wake(key)
        self.alive = [entry for entry in self.alive if not (key in entry[1] and entry[0].ready())]

    @rule(owner=st.integers(1, 3))
    def detach(self, owner: int) -> None:
        self.purgatory.detach(owner)
        self.alive = [entry for entry in self.alive if entry[3] != owner]

    @rule(seconds=st.integers(0, 3))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds
        self.purgatory.expire(self.now)
        self.alive = [entry for entry in self.alive if entry[2] > self.now]

    @invariant()
    def agrees(self) -> None:
        assert len(self.purgatory) == len(self.alive)
        assert self.purgatory.next_deadline() == min((entry[2] for entry in self.alive), default=None)
        assert all(operation.completed + operation.expired <= 1 for operation in self.all)


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
