"""Which relays are alive, and which rows of the outbox the log refuses."""

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"

# What `eventbus.database.times.UtcTime` is in the database; spelt out, as a migration must not change with the code.
_TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Make both."""
    op.create_table(
        "eventbus_relays",
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("holder", name="pk_eventbus_relays"),
    )
    op.create_table(
        "eventbus_blocked_rows",
        sa.Column("sequence", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("blocked_at", _TIME, nullable=False),
        sa.Column("retry_requested_at", _TIME),
        sa.PrimaryKeyConstraint("sequence", name="pk_eventbus_blocked_rows"),
    )
