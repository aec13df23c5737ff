"""What the commands do about a cluster that has just changed: a fake admin refuses first, then the real one answers."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from broker.cli import main
from broker.cli.cluster import LATEST, Cluster
from broker.cli.refused import Refused
from tests.servers.broker_process import BrokerProcess


class Refusing:
    """Fails the first *times* listings with *code*."""

    def __init__(self, real: Any, code: int, times: int) -> None:
        self._real = real
        self._code = code
        self.left = times

    def list_offsets(self, places: Mapping[TopicPartition, object], **options: object) -> Mapping[TopicPartition, Any]:
        if not self.left:
            return self._real.list_offsets(places, **options)  # type: ignore[no-any-return]
        self.left -= 1
        failed: Future[object] = Future()
        failed.set_exception(KafkaException(KafkaError(self._code)))
        return dict.fromkeys(places, failed)


@pytest.mark.parametrize("code", [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE])
def test_a_partition_whose_leader_is_not_there_yet_is_asked_for_again(
    broker: BrokerProcess, topic: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is of a topic that has just been made, on more than one node."""
    assert main(["topics", "create", topic, "--bootstrap", broker.bootstrap]) == 0
    cluster = Cluster(broker.bootstrap, {})
    refusing = Refusing(cluster.admin, code, 2)
    monkeypatch.setattr(cluster, "admin", refusing)
    assert cluster.offsets(LATEST, cluster.partitions(topic)) == {(topic, 0): 0}
    assert refusing.left == 0


def test_what_does_not_mend_itself_is_told_at_once(
    broker: BrokerProcess, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a permission that is missing."""
    assert main(["topics", "create", topic, "--bootstrap", broker.bootstrap]) == 0
    cluster = Cluster(broker.bootstrap, {})
    refusing = Refusing(cluster.admin, KafkaError.TOPIC_AUTHORIZATION_FAILED, 2)
    monkeypatch.setattr(cluster, "admin", refusing)
    with pytest.raises(Refused, match="authorization"):
        cluster.offsets(LATEST, cluster.partitions(topic))
    assert refusing.left == 1
