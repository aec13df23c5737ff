from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from eventbus.delivery.lanes import Lanes

LANES = 4
KEYS = (None, b"a", b"b", b"c", b"d", b"e")


class AnyLanes(RuleBasedStateMachine):
    """
    Records come, lanes take some and finish them, in any mixture. The model knows offsets, keys and widths, what is at
    work and what is done.
    """

    def __init__(self) -> None:
        super().__init__()
        self.subject: Lanes[int] = Lanes(LANES, 0)
        self.next_offset = 0
        self.keys: dict[int, bytes | None] = {}
        self.widths: dict[int, int] = {}
        self.unfinished: set[int] = set()
        self.in_hand: dict[int, list[int]] = defaultdict(list)
        self.done_of_key: dict[bytes, list[int]] = defaultdict(list)

    @rule(key=st.sampled_from(KEYS), width=st.integers(1, LANES), gap=st.integers(0, 2))
    def add(self, key: bytes | None, width: int, gap: int) -> None:
        """A record comes; one that has to wait is not in any lane."""
        offset = self.next_offset + gap
        if not self.subject.add(offset, key, width, offset):
            assert any(self.keys[one] == key and self.widths[one] > width for one in self.unfinished)
            return
        self.next_offset = offset + 1
        self.keys[offset], self.widths[offset] = key, width
        self.unfinished.add(offset)

    @rule(by=st.integers(0, 3))
    def pass_to(self, by: int) -> None:
        """Behind the last record there are some that are nobody's."""
        self.next_offset += by
        self.subject.pass_to(self.next_offset)

    @precondition(lambda self: self.subject.ready())
    @rule(data=st.data(), count=st.integers(1, 5))
    def take(self, data: st.DataObject, count: int) -> None:
        """A lane begins: what it takes is wide enough for it, and no other lane has a record of these keys in hand."""
        lane = data.draw(st.sampled_from(self.subject.ready()))
        taken = list(self.subject.take(lane, count))
        assert 1 <= len(taken) <= count
        assert taken == sorted(taken)
        for offset in taken:
            assert lane < self.widths[offset]
            key = self.keys[offset]
            if key is not None:
                held = {one for other, hand in self.in_hand.items() if other != lane for one in hand}
                assert key not in {self.keys[one] for one in held}
        self.in_hand[lane] = taken

    @precondition(lambda self: any(self.in_hand.values()))
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """A lane has done some of what it has in hand: a key's records are done in their order."""
        lane = data.draw(st.sampled_from([lane for lane, hand in self.in_hand.items() if hand]))
        hand = self.in_hand[lane]
        count = data.draw(st.integers(1, len(hand)))
        done, self.in_hand[lane] = hand[:count], hand[count:]
        self.subject.finish(lane, done[-1] + 1)
        for offset in done:
            self.unfinished.remove(offset)
            key = self.keys[offset]
            if key is not None:
                assert not any(self.keys[one] == key and one < offset for one in self.unfinished)
                self.done_of_key[key].append(offset)
                assert self.done_of_key[key] == sorted(self.done_of_key[key])

    @invariant()
    def the_frontier_is_the_lowest_unfinished_offset(self) -> None:
        """So no checkpoint ever lies behind a record that is not done."""
        assert self.subject.frontier == min(self.unfinished, default=self.next_offset)
        assert self.subject.unfinished == len(self.unfinished)
        assert self.subject.held == sum(offset >= self.subject.frontier for offset in self.keys)

    @invariant()
    def nothing_waits_for_a_lane_that_is_free(self) -> None:
        """Whatever is unfinished is in a hand, or in a lane that is ready or has something in hand."""
        hands = sum(len(hand) for hand in self.in_hand.values())
        assert self.subject.ready() or hands or not self.unfinished


def test_lanes_behave_as_their_model() -> None:
    """Whatever comes, begins and is done in whatever order."""
    run_state_machine_as_test(AnyLanes, settings=settings(max_examples=50, stateful_step_count=40, deadline=None))
