"""What the members of a group have, from the bytes that they share it out in."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from confluent_kafka import KafkaError, KafkaException

from eventbus.errors import BrokerUnavailable
from eventbus.transport import TopicPartition
from eventbus.transport.kafka.group_assignment import assigned_partitions

TWO_TOPICS = bytes.fromhex(
    "0001 00000002 0001 61 00000002 00000000 00000005 0003 c3bc62 00000001 00000001 00000002 ffff"
)


@dataclass
class Member:
    assignment: bytes


@dataclass
class Group:
    id: str
    state: str
    members: Sequence[Member]
    error: object | None = None


@dataclass
class Client:
    """Stands in for librdkafka's, whose answers tests/eventbus/transport/test_static_members.py has."""

    groups: Sequence[Group]

    def list_groups(self, group: str, timeout: float) -> Sequence[Group]:
        return self.groups


class Away:
    def list_groups(self, group: str, timeout: float) -> Sequence[Group]:
        raise KafkaException(KafkaError(KafkaError._PARTIAL))


def test_what_all_members_have_together() -> None:
    """Of several topics; members that were given nothing have nothing."""
    client = Client([Group("g", "Stable", [Member(TWO_TOPICS), Member(bytes.fromhex("0000 00000000")), Member(b"")])])
    assert assigned_partitions(client, "g") == {
        TopicPartition("a", 0),
        TopicPartition("a", 5),
        TopicPartition("üb", 1),
    }


@pytest.mark.parametrize(
    "damaged", [TWO_TOPICS[:5], TWO_TOPICS[:12], bytes.fromhex("0001 00000001 0002 fffe 00000000")]
)
def test_bytes_that_are_no_assignment_are_nothing(damaged: bytes) -> None:
    """Members may share out whatever they like."""
    assert assigned_partitions(Client([Group("g", "Stable", [Member(damaged)])]), "g") == frozenset()


@pytest.mark.parametrize(
    "groups",
    [
        [],
        [Group("g", "PreparingRebalance", [Member(TWO_TOPICS)])],
        [Group("other", "Stable", [Member(TWO_TOPICS)])],
        [Group("g", "Stable", [], KafkaError(KafkaError.NOT_COORDINATOR))],
    ],
)
def test_a_group_that_is_not_at_rest_has_no_answer(groups: Sequence[Group]) -> None:
    """It is empty, sharing its partitions out anew, or somewhere else."""
    assert assigned_partitions(Client(groups), "g") is None


def test_a_broker_that_does_not_answer_is_said() -> None:
    """It may be the one that knows."""
    with pytest.raises(BrokerUnavailable, match="group 'g'"):
        assigned_partitions(Away(), "g")
