"""The server's assignors."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from broker.groups.consumer.assignors import MemberSpec, assign_range, assign_uniform
from broker.groups.consumer.values import Partitions
from broker.identifiers import TopicId

A, B, C = (TopicId(UUID(int=number)) for number in (1, 2, 3))
NOTHING: Partitions = {}

_topics = st.frozensets(st.sampled_from([A, B, C]))
_counts = st.dictionaries(st.sampled_from([A, B, C]), st.integers(0, 9))
_members = st.dictionaries(
    st.sampled_from(["m1", "m2", "m3", "m4", "m5"]),
    st.builds(
        MemberSpec,
        st.none(),
        _topics,
        st.dictionaries(st.sampled_from([A, B, C]), st.frozensets(st.integers(0, 11)), max_size=3),
    ),
)


def same(names: str, topics: set[TopicId]) -> dict[str, MemberSpec]:
    return {name: MemberSpec(None, frozenset(topics), NOTHING) for name in names.split()}


def sizes(assigned: dict[str, Partitions]) -> list[int]:
    return [sum(map(len, each.values())) for each in assigned.values()]


@given(_members, _counts, st.sampled_from([assign_uniform, assign_range]))
def test_every_partition_goes_to_exactly_one_subscriber(
    members: dict[str, MemberSpec], counts: dict[TopicId, int], assign: object
) -> None:
    """Whatever was there before, and whatever does not exist."""
    assert callable(assign)
    assigned: dict[str, Partitions] = assign(members, counts)
    places = [
        (topic_id, partition)
        for member_id, topics in assigned.items()
        for topic_id, partitions in topics.items()
        for partition in partitions
        if topic_id in members[member_id].topics
    ]
    subscribed = {topic_id for each in members.values() for topic_id in each.topics}
    expected = {(each, number) for each in subscribed for number in range(counts.get(each, 0))}
    assert assigned.keys() == members.keys()
    assert len(places) == len(expected)
    assert set(places) == expected


@given(st.integers(1, 8), _counts)
def test_uniform_gives_everybody_the_same_but_for_one(members: int, counts: dict[TopicId, int]) -> None:
    """When all subscribe to the same."""
    assigned = assign_uniform(same(" ".join(f"m{n}" for n in range(members)), {A, B, C}), counts)
    assert max(sizes(assigned)) - min(sizes(assigned)) <= 1


@given(_members, _counts)
def test_uniform_leaves_no_move_that_would_even_out(members: dict[str, MemberSpec], counts: dict[TopicId, int]) -> None:
    """With different subscriptions: nobody has two more than somebody who could have one of them."""
    assigned = assign_uniform(members, counts)
    load = {name: sum(map(len, each.values())) for name, each in assigned.items()}
    for giver, topics in assigned.items():
        for taker, member in members.items():
            assert load[giver] - load[taker] <= 1 or not topics.keys() & member.topics


@given(_members, _counts)
def test_uniform_given_its_own_answer_changes_nothing(
    members: dict[str, MemberSpec], counts: dict[TopicId, int]
) -> None:
    """A new epoch without a reason moves no partition."""
    first = assign_uniform(members, counts)
    again = {name: MemberSpec(None, each.topics, first[name]) for name, each in members.items()}
    assert assign_uniform(again, counts) == first


def test_uniform_takes_only_what_a_newcomer_needs() -> None:
    """Two have three each; the third gets one from each and nothing else moves."""
    before = assign_uniform(same("m1 m2", {A}), {A: 6})
    members = {name: MemberSpec(None, frozenset({A}), before.get(name, NOTHING)) for name in ("m1", "m2", "m3")}
    after = assign_uniform(members, {A: 6})
    assert sizes(after) == [2, 2, 2]
    assert all(after[name][A] < before[name][A] for name in before)


def test_range_keeps_equal_topics_together() -> None:
    """Partition n of two topics is the same member's, in the order of the ids, instances first."""
    members = same("m1 m2", {A, B}) | {"m0": MemberSpec("i", frozenset({A, B}), NOTHING)}
    assigned = assign_range(members, {A: 7, B: 7})
    assert {name: sorted(each[A]) for name, each in assigned.items()} == {
        "m0": [0, 1, 2],
        "m1": [3, 4],
        "m2": [5, 6],
    }
    assert all(each[A] == each[B] for each in assigned.values())
