"""Rows of the inbox expire: by when they were handled, and up to when that has been done."""

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0004"

# What `eventbus.database.times.UtcTime` is in the database; spelt out, as a migration must not change with the code.
_TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """A table, and an index."""
    op.create_table(
        "eventbus_inbox_horizons",
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("expired_before", _TIME),
        sa.PrimaryKeyConstraint("consumer", name="pk_eventbus_inbox_horizons"),
    )
    op.create_index("ix_eventbus_inbox_consumer_handled_at", "eventbus_inbox", ["consumer", "handled_at"])
