import pytest
from hypothesis import HealthCheck, settings

from tests.servers.logs import (
    embedded_log,
    empty_log_url,
    kafka_cluster,
    log,
    log_kind,
    module_settings,
    service_settings,
)
from tests.servers.postgres import empty_postgres_url, postgres, postgres_url

# Taken in here and nowhere else: a fixture that several conftests import is as many servers.
__all__ = [
    "embedded_log",
    "empty_log_url",
    "empty_postgres_url",
    "kafka_cluster",
    "log",
    "log_kind",
    "module_settings",
    "postgres",
    "postgres_url",
    "service_settings",
]

# A loaded machine is slow at everything: how long an example takes says nothing about the code.
settings.register_profile("loaded machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("loaded machine")


@pytest.fixture
def anyio_backend() -> str:
    """The framework runs on asyncio (asyncpg and SQLAlchemy do); anyio gives its structure."""
    return "asyncio"
