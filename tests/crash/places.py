"""The logs and databases that the plays of the outbox run on."""

import pytest

from tests.servers.logs import ON_KAFKA

KAFKA = ON_KAFKA.marks

in_each_place = pytest.mark.parametrize(
    ("log_kind", "database_url"),
    [("embedded", "sqlite"), ("embedded", "postgresql"), pytest.param("kafka", "postgresql", marks=KAFKA)],
    indirect=True,
)
"""On three nodes of Apache Kafka with PostgreSQL alone, as a service is there."""

with_broken_relays = pytest.mark.parametrize(("log_kind", "database_url"), [("embedded", "postgresql")], indirect=True)
"""What is to be found there is the checker's matter, not the log's."""
