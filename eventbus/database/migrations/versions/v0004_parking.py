"""Parked keys with the events that wait there, and dead letters that can be tried again."""

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0005"

# What `eventbus.database.times.UtcTime` is in the database; spelt out, as a migration must not change with the code.
_TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Two tables, and columns for the letters."""
    op.add_column("eventbus_dead_letters", sa.Column("timestamp_ms", sa.BigInteger()))
    op.add_column("eventbus_dead_letters", sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("eventbus_dead_letters", sa.Column("retry_at", _TIME))
    op.add_column("eventbus_dead_letters", sa.Column("edited_at", _TIME))
    op.create_index(
        "ix_eventbus_dead_letters_retry_at",
        "eventbus_dead_letters",
        ["consumer", "retry_at"],
        postgresql_where=sa.text("retry_at IS NOT NULL"),
        sqlite_where=sa.text("retry_at IS NOT NULL"),
    )
    op.create_table(
        "eventbus_parked_keys",
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("handler", sa.Text(), nullable=False),
        sa.Column("dead_letter_id", sa.Text()),
        sa.Column("parked_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("consumer", "topic", "key", "handler", name="pk_eventbus_parked_keys"),
    )
    op.create_index("ix_eventbus_parked_keys_dead_letter_id", "eventbus_parked_keys", ["dead_letter_id"])
    op.create_index(
        "ix_eventbus_parked_keys_draining",
        "eventbus_parked_keys",
        ["consumer", "parked_at"],
        postgresql_where=sa.text("dead_letter_id IS NULL"),
        sqlite_where=sa.text("dead_letter_id IS NULL"),
    )
    op.create_table(
        "eventbus_parked_events",
        sa.Column("sequence", _SEQUENCE, sa.Identity(), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("handler", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.Text()),
        sa.Column("type", sa.Text()),
        sa.Column("value", sa.LargeBinary()),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("parked_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_eventbus_parked_events"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_eventbus_parked_events_key", "eventbus_parked_events", ["consumer", "topic", "key", "handler", "sequence"]
    )
