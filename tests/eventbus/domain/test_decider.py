from eventbus.domain import Decider


def decide(state: int, command: str) -> list[int]:
    return [] if command == "stay" else [state + 1]


counter: Decider[str, int, int] = Decider(initial=lambda: 0, decide=decide, evolve=lambda _, event: event)


def test_a_fold_starts_at_the_initial_state_and_takes_events_in_order() -> None:
    """The same events always give the same state."""
    assert counter.fold([]) == 0
    assert counter.fold([1, 2, 3]) == 3


def test_a_decision_may_be_that_nothing_happens() -> None:
    """No event, no change."""
    assert counter.decide(3, "stay") == []
    assert counter.decide(3, "go") == [4]
