import pytest

from tests.contracts.unit_of_work import UnitOfWorkContract


@pytest.mark.anyio
class TestUnitOfWork(UnitOfWorkContract):
    """On SQLite and on PostgreSQL."""
