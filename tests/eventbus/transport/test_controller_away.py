"""The node that an admin client takes for the controller dies; the cluster is there all the same."""

import logging
import time

import pytest
from confluent_kafka.admin import AdminClient

from eventbus.errors import BrokerUnavailable
from eventbus.transport.kafka.admin import KafkaAdmin
from eventbus.transport.kafka.options import admin_options
from tests.servers.logs import Clusters

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]

SECONDS_MAX = 30.0
"""An election on a busy machine; until librdkafka asks for metadata by itself it is a minute."""


def test_the_cluster_is_found_again_without_the_controller_that_was_known(kafka_cluster: Clusters) -> None:
    """Its id, which is what decides whether a service's log is away."""
    cluster = kafka_cluster(3)
    options = admin_options({"bootstrap.servers": cluster.bootstrap, "client.id": "controller-away"})
    admin = KafkaAdmin(options, lambda error: None, logging.getLogger("eventbus.librdkafka"))
    before = admin.cluster_id()
    client = admin._made
    assert isinstance(client, AdminClient)
    cluster.kill(client.list_topics(timeout=10).controller_id)
    try:
        began = time.monotonic()
        while (found := asked(admin)) is None:
            assert time.monotonic() - began < SECONDS_MAX
        assert found == before
    finally:
        cluster.resume()
        admin.close()


def asked(admin: KafkaAdmin) -> str | None:
    try:
        return admin.cluster_id(1.0)
    except BrokerUnavailable:
        return None
