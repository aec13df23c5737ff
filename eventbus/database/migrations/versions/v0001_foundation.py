"""The first tables: event store, outbox and relay, inbox, checkpoints, dead letters, generations."""

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None

# What `eventbus.database.times.UtcTime` is in the database; spelt out, as a migration must not change with the code.
_TIME = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make them all."""
    op.create_table(
        "eventbus_checkpoints",
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("cluster_id", sa.Text(), nullable=False),
        sa.Column("topic_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("next_offset", sa.BigInteger()),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("consumer", "generation", "topic", "partition", name="pk_eventbus_checkpoints"),
    )
    op.create_table(
        "eventbus_commands",
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.Column("recorded_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("command_id", name="pk_eventbus_commands"),
    )
    op.create_table(
        "eventbus_dead_letters",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("handler", sa.Text()),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.Text()),
        sa.Column("type", sa.Text()),
        sa.Column("key", sa.LargeBinary()),
        sa.Column("value", sa.LargeBinary()),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("error_class", sa.Text(), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=False),
        sa.Column("error_stack", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failed_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_eventbus_dead_letters"),
    )
    op.create_index("ix_eventbus_dead_letters_consumer_failed_at", "eventbus_dead_letters", ["consumer", "failed_at"])
    op.create_table(
        "eventbus_events",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("type_version", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("time", _TIME, nullable=False),
        sa.Column("subject", sa.Text()),
        sa.Column("correlation_id", sa.Text()),
        sa.Column("causation_id", sa.Text()),
        sa.Column("traceparent", sa.Text()),
        sa.Column("topic", sa.Text()),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "version", name="pk_eventbus_events"),
        sa.UniqueConstraint("id", name="uq_eventbus_events_id"),
    )
    op.create_table(
        "eventbus_generations",
        sa.Column("projection", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text()),
        sa.Column("lease_expires_at", _TIME),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("switched_at", _TIME),
        sa.PrimaryKeyConstraint("projection", "generation", name="pk_eventbus_generations"),
    )
    op.create_index(
        "uq_eventbus_generations_live",
        "eventbus_generations",
        ["projection"],
        unique=True,
        postgresql_where=sa.text("state = 'live'"),
        sqlite_where=sa.text("state = 'live'"),
    )
    op.create_table(
        "eventbus_handler_starts",
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("handler", sa.Text(), nullable=False),
        sa.Column("cluster_id", sa.Text(), nullable=False),
        sa.Column("topic_id", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("first_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "consumer", "handler", "cluster_id", "topic_id", "partition", name="pk_eventbus_handler_starts"
        ),
    )
    op.create_table(
        "eventbus_inbox",
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("handled_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("consumer", "message_id", name="pk_eventbus_inbox"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "eventbus_outbox",
        sa.Column("sequence", _SEQUENCE, sa.Identity(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("aggregatetype", sa.Text(), nullable=False),
        sa.Column("aggregateid", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text()),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("stream_version", sa.BigInteger()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_eventbus_outbox"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_eventbus_outbox_slot_sequence", "eventbus_outbox", ["slot", "sequence"])
    op.create_table(
        "eventbus_published",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("published_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("event_id", name="pk_eventbus_published"),
    )
    op.create_index("ix_eventbus_published_published_at", "eventbus_published", ["published_at"])
    op.create_table(
        "eventbus_relay_slots",
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("lease_epoch", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("slot", name="pk_eventbus_relay_slots"),
    )
