from eventbus.testing.contracts.unit_of_work import UnitOfWorkContract


class TestUnitOfWork(UnitOfWorkContract):
    """On SQLite and on PostgreSQL."""
