"""
Every table of the framework, as SQLAlchemy Core sees it; `migrations/` makes them, `docs/reference/tables.md`
explains them.

Names begin with `eventbus_`, so that a service's own tables can live beside them. Text is unbounded on purpose: a
limit that PostgreSQL keeps and SQLite does not is found out in production.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from eventbus.database.times import UtcTime

metadata: Final = MetaData(naming_convention={"pk": "pk_%(table_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s"})

# SQLite counts rows by itself only where the key is an INTEGER, which there has 64 bits.
_SequenceNumber: Final = BigInteger().with_variant(Integer(), "sqlite")

events: Final = Table(
    "eventbus_events",
    metadata,
    Column("stream", Text, nullable=False, doc="`Order-o-1`: the aggregate's name and id"),
    Column("version", BigInteger, nullable=False, doc="1, 2, 3 … within the stream, without gaps"),
    Column("id", Text, nullable=False, doc="the event's id, `ce_id` in the log"),
    Column("category", Text, nullable=False, doc="the aggregate's name"),
    Column("type", Text, nullable=False, doc="the event's name"),
    Column("type_version", Integer, nullable=False, doc="the version of the event's shape"),
    Column("source", Text, nullable=False, doc="the service that recorded it"),
    Column("time", UtcTime, nullable=False, doc="when it was recorded"),
    Column("subject", Text, doc="what it is about: the aggregate's id"),
    Column("correlation_id", Text, doc="the id of the message that began the conversation"),
    Column("causation_id", Text, doc="the id of the message that was being handled"),
    Column("traceparent", Text, doc="W3C trace context"),
    Column("topic", Text, doc="the topic it is published to; null: to none"),
    Column("data", LargeBinary, nullable=False, doc="the event itself, as in the log"),
    PrimaryKeyConstraint("stream", "version"),
    UniqueConstraint("id"),
    Index("ix_eventbus_events_category_time", "category", "time"),
    info={"doc": "The event store: what aggregates have recorded."},
)

snapshots: Final = Table(
    "eventbus_snapshots",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("stream_version", BigInteger, nullable=False, doc="the version of the last event in it"),
    Column("snapshot_version", Integer, nullable=False, doc="the shape of the state: the aggregate's `snapshot=`"),
    Column("state", LargeBinary, nullable=False, doc="JSON"),
    Column("taken_at", UtcTime, nullable=False),
    info={"doc": "States of aggregates, so that not all events are read. A cache: its rows may be deleted."},
)

outbox: Final = Table(
    "eventbus_outbox",
    metadata,
    Column("sequence", _SequenceNumber, Identity(), primary_key=True, doc="the order within a slot"),
    Column("id", Text, nullable=False, doc="the event's id"),
    Column("aggregatetype", Text, nullable=False, doc="the aggregate's name; for a published event its topic"),
    Column("aggregateid", Text, nullable=False, doc="the aggregate's id; for a published event its key"),
    Column("type", Text, nullable=False, doc="the event's name"),
    Column("payload", LargeBinary, nullable=False, doc="the record's value"),
    Column("topic", Text, nullable=False, doc="where it goes"),
    Column("key", Text, doc="the record's key; null: any partition"),
    Column("headers", Text, nullable=False, doc="the record's headers, a JSON list of [name, value]"),
    Column("slot", Integer, nullable=False, doc="murmur2(key) mod the number of slots"),
    Column("stream_version", BigInteger, doc="the version within its stream; null: published without one"),
    Column("created_at", UtcTime, nullable=False, doc="when it was added"),
    Index("ix_eventbus_outbox_slot_sequence", "slot", "sequence"),
    sqlite_autoincrement=True,  # a number that was used is not used again
    info={"doc": "What has been committed and is not in the log yet. The columns from id to payload are Debezium's."},
)

published: Final = Table(
    "eventbus_published",
    metadata,
    Column("event_id", Text, primary_key=True, doc="the event's id"),
    Column("topic", Text, nullable=False, doc="where the relay published it"),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("published_at", UtcTime, nullable=False, doc="rows are pruned by it"),
    Index("ix_eventbus_published_published_at", "published_at"),
    info={"doc": "Where events are in the log, for a while: what receipts are exchanged for."},
)

relay_slots: Final = Table(
    "eventbus_relay_slots",
    metadata,
    Column("slot", Integer, primary_key=True, autoincrement=False),
    Column("holder", Text, nullable=False, doc="the relay that holds the slot"),
    Column("lease_epoch", BigInteger, nullable=False, doc="grows with every takeover"),
    Column("expires_at", UtcTime, nullable=False, doc="from then on others may take it over"),
    info={"doc": "Which relay publishes which slot of the outbox."},
)

relays: Final = Table(
    "eventbus_relays",
    metadata,
    Column("holder", Text, primary_key=True, doc="the relay's process"),
    Column("expires_at", UtcTime, nullable=False, doc="from then on it counts as gone"),
    info={"doc": "The relays that run: they share the slots out among them."},
)

blocked_rows: Final = Table(
    "eventbus_blocked_rows",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False, doc="the row's in the outbox"),
    Column("slot", Integer, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("type", Text, nullable=False, doc="the event's name"),
    Column("topic", Text, nullable=False),
    Column("key", Text, doc="whose later rows wait behind it; null: none do"),
    Column("reason", Text, nullable=False, doc="the log's words"),
    Column("attempts", Integer, nullable=False, doc="how often it was refused"),
    Column("blocked_at", UtcTime, nullable=False, doc="when it was refused first"),
    Column("retry_requested_at", UtcTime, doc="somebody wants it to be tried again now"),
    info={"doc": "Rows of the outbox that the log refuses, written by the relay that holds their slot."},
)

inbox: Final = Table(
    "eventbus_inbox",
    metadata,
    Column("consumer", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("handled_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("consumer", "message_id"),
    Index("ix_eventbus_inbox_consumer_handled_at", "consumer", "handled_at"),
    sqlite_with_rowid=False,
    info={"doc": "Which messages a consumer has handled: a repeat is dropped."},
)

inbox_horizons: Final = Table(
    "eventbus_inbox_horizons",
    metadata,
    Column("consumer", Text, primary_key=True, doc="as in eventbus_inbox"),
    Column("expired_before", UtcTime, doc="what was handled before it may be forgotten; null: nothing is"),
    info={"doc": "Up to when each consumer's inbox rows have expired. The row is the lock of who expires or seeks."},
)

commands: Final = Table(
    "eventbus_commands",
    metadata,
    Column("command_id", Text, primary_key=True, doc="the id given to `send(command, id=…)`"),
    Column("receipt", Text, nullable=False, doc="the first receipt, JSON: answered again"),
    Column("recorded_at", UtcTime, nullable=False),
    info={"doc": "Commands that were sent under an id of the caller's."},
)

checkpoints: Final = Table(
    "eventbus_checkpoints",
    metadata,
    Column("consumer", Text, nullable=False, doc="a service's handlers, or a projection"),
    Column("generation", Integer, nullable=False, doc="of the projection; 0 for handlers"),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("cluster_id", Text, nullable=False, doc="of the log that next_offset belongs to"),
    Column("topic_id", Text, nullable=False, doc="of the topic: another one after it was deleted and made again"),
    Column("epoch", BigInteger, nullable=False, doc="grows with every claim; an older owner is fenced by it"),
    Column("next_offset", BigInteger, doc="where to read on; null: nothing has been applied yet"),
    Column("updated_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("consumer", "generation", "topic", "partition"),
    info={"doc": "How far each consumer has come, advanced in the transaction of its effects."},
)

dead_letters: Final = Table(
    "eventbus_dead_letters",
    metadata,
    Column("id", Text, primary_key=True),
    Column("consumer", Text, nullable=False),
    Column("handler", Text, doc="the handler that failed; null: the record could not be decoded"),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("message_id", Text, doc="`ce_id`, where it could be read"),
    Column("type", Text, doc="`ce_type`, where it could be read"),
    Column("key", LargeBinary, doc="raw"),
    Column("value", LargeBinary, doc="raw"),
    Column("headers", Text, nullable=False, doc="JSON list of [name, text] or [name, null, base64]"),
    Column("error_class", Text, nullable=False),
    Column("error_message", Text, nullable=False),
    Column("error_stack", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failed_at", UtcTime, nullable=False),
    Column("timestamp_ms", BigInteger, doc="the record's own time"),
    Column("tries", Integer, nullable=False, server_default="0", doc="since somebody last asked for it"),
    Column("retry_at", UtcTime, doc="when it is to be handled again; null: when somebody asks for it"),
    Column("edited_at", UtcTime, doc="when its value was last changed by hand"),
    Index("ix_eventbus_dead_letters_consumer_failed_at", "consumer", "failed_at"),
    Index(
        "ix_eventbus_dead_letters_retry_at",
        "consumer",
        "retry_at",
        postgresql_where=text("retry_at IS NOT NULL"),
        sqlite_where=text("retry_at IS NOT NULL"),
    ),
    info={"doc": "Records that kept failing or could not be decoded, as they came."},
)

parked_keys: Final = Table(
    "eventbus_parked_keys",
    metadata,
    Column("consumer", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("key", LargeBinary, nullable=False, doc="raw"),
    Column("handler", Text, nullable=False, doc="which gets nothing of this key for now"),
    Column("dead_letter_id", Text, doc="what the key waits behind; null: what waits is being handled"),
    Column("parked_at", UtcTime, nullable=False),
    PrimaryKeyConstraint("consumer", "topic", "key", "handler"),
    Index("ix_eventbus_parked_keys_dead_letter_id", "dead_letter_id"),
    Index(
        "ix_eventbus_parked_keys_draining",
        "consumer",
        "parked_at",
        postgresql_where=text("dead_letter_id IS NULL"),
        sqlite_where=text("dead_letter_id IS NULL"),
    ),
    info={"doc": "Keys whose events wait behind a dead letter, handler by handler. The row is the key's lock."},
)

parked_events: Final = Table(
    "eventbus_parked_events",
    metadata,
    Column("sequence", _SequenceNumber, Identity(), primary_key=True, doc="a key's order"),
    Column("consumer", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("key", LargeBinary, nullable=False, doc="raw"),
    Column("handler", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("message_id", Text, doc="`ce_id`, where it could be read"),
    Column("type", Text, doc="`ce_type`, where it could be read"),
    Column("value", LargeBinary, doc="raw"),
    Column("headers", Text, nullable=False, doc="as in eventbus_dead_letters"),
    Column("timestamp_ms", BigInteger, nullable=False, doc="the record's own time"),
    Column("parked_at", UtcTime, nullable=False),
    Index("ix_eventbus_parked_events_key", "consumer", "topic", "key", "handler", "sequence"),
    sqlite_autoincrement=True,  # a number that was used is not used again: the next one comes behind it
    info={"doc": "Events that wait behind a dead letter of their key, as they came."},
)

generations: Final = Table(
    "eventbus_generations",
    metadata,
    Column("projection", Text, nullable=False),
    Column("generation", Integer, nullable=False, doc="one build of the projection's tables"),
    Column("version", Integer, nullable=False, doc="the code's `version=` that builds it"),
    Column("fingerprint", Text, nullable=False, doc="the shape of its tables"),
    Column("state", Text, nullable=False, doc="building, built, switching, live, old, returning, abandoned or dropped"),
    Column("holder", Text, doc="the process that is working on it"),
    Column("lease_expires_at", UtcTime, doc="from then on another may go on with it"),
    Column("created_at", UtcTime, nullable=False),
    Column("switched_at", UtcTime, doc="when it became live"),
    Column("store_scan", Text, doc="JSON: how far it has been built from the event store; null: from the log alone"),
    PrimaryKeyConstraint("projection", "generation"),
    Index(
        "uq_eventbus_generations_live",
        "projection",
        unique=True,
        postgresql_where=text("state = 'live'"),
        sqlite_where=text("state = 'live'"),
    ),
    info={"doc": "The builds of each projection; one is live."},
)

paused_projections: Final = Table(
    "eventbus_paused_projections",
    metadata,
    Column("projection", Text, primary_key=True),
    Column("paused_by", Text, nullable=False, doc="user@host, or what the command was given"),
    Column("paused_at", UtcTime, nullable=False),
    info={"doc": "Projections that are not kept up to date until somebody resumes them."},
)

handler_starts: Final = Table(
    "eventbus_handler_starts",
    metadata,
    Column("consumer", Text, nullable=False),
    Column("handler", Text, nullable=False),
    Column("cluster_id", Text, nullable=False),
    Column("topic_id", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("first_offset", BigInteger, nullable=False, doc="the handler gets records from here on"),
    PrimaryKeyConstraint("consumer", "handler", "cluster_id", "topic_id", "partition"),
    info={"doc": "Where each handler's part of the log begins, written when the handler is first seen."},
)
