"""Snapshots of aggregates, and an index to read a category by time."""

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"

# What `eventbus.database.times.UtcTime` is in the database; spelt out, as a migration must not change with the code.
_TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Make both."""
    op.create_table(
        "eventbus_snapshots",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("stream_version", sa.BigInteger(), nullable=False),
        sa.Column("snapshot_version", sa.Integer(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("taken_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("stream", name="pk_eventbus_snapshots"),
    )
    op.create_index("ix_eventbus_events_category_time", "eventbus_events", ["category", "time"])
