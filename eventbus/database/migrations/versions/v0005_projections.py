"""Which projections are paused, and how far a generation that is built from the event store has come."""

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0003"

# What `eventbus.database.times.UtcTime` is in the database; spelt out, as a migration must not change with the code.
_TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """A table, and a column."""
    op.create_table(
        "eventbus_paused_projections",
        sa.Column("projection", sa.Text(), nullable=False),
        sa.Column("paused_by", sa.Text(), nullable=False),
        sa.Column("paused_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("projection", name="pk_eventbus_paused_projections"),
    )
    op.add_column("eventbus_generations", sa.Column("store_scan", sa.Text()))
