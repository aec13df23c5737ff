from eventbus.testing.contracts.projection_operations import ProjectionOperationsContract
from eventbus.testing.contracts.projection_rebuilds import RebuildsContract
from eventbus.testing.contracts.projection_views import ViewsContract
from eventbus.testing.contracts.projections import ProjectionsContract


class TestProjections(ProjectionsContract):
    """On SQLite and on PostgreSQL."""


class TestViews(ViewsContract):
    """On SQLite and on PostgreSQL."""


class TestRebuilds(RebuildsContract):
    """On SQLite and on PostgreSQL."""


class TestProjectionOperations(ProjectionOperationsContract):
    """On SQLite and on PostgreSQL."""
