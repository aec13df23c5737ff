"""
How far a consumer has come in a partition: a row that moves in the transaction of the consumer's effects.

Claiming bumps the epoch, so whoever claimed before is fenced: its next advance finds another epoch, changes no row,
and rolls its effects back. Transactions that work beside each other hold the checkpoint instead of moving it: a claim
waits for them, and fences those that come after it. On assignment the checkpoint wins over the group's offset in the
log. It belongs to one log, named by the cluster's id and the topic's: in another one its offset means nothing.

Locks (PostgreSQL; SQLite has one writer)
    advancing   FOR NO KEY UPDATE     one transaction at a time
    holding     FOR KEY SHARE         any number, and one that advances beside them
    claiming    FOR UPDATE            waits for both

Source     decision 3
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import ColumnElement, Row, and_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.dialects import Statement, insert_into, is_sqlite
from eventbus.database.driver_statement import DriverStatement
from eventbus.database.tables import checkpoints
from eventbus.errors import CheckpointFenced, ForeignLog

_ADVANCE: Final = DriverStatement(
    sqlite="UPDATE eventbus_checkpoints SET next_offset = ?, updated_at = ? WHERE consumer = ? AND generation = ? "
    "AND topic = ? AND partition = ? AND epoch = ? AND next_offset IS ?",
    postgresql="UPDATE eventbus_checkpoints SET next_offset = $1, updated_at = $2 WHERE consumer = $3 "
    "AND generation = $4 AND topic = $5 AND partition = $6 AND epoch = $7 AND next_offset IS NOT DISTINCT FROM $8",
)
_HOLD: Final = DriverStatement(
    sqlite="SELECT epoch FROM eventbus_checkpoints WHERE consumer = ? AND generation = ? AND topic = ? "
    "AND partition = ? AND epoch = ?",
    postgresql="SELECT epoch FROM eventbus_checkpoints WHERE consumer = $1 AND generation = $2 AND topic = $3 "
    "AND partition = $4 AND epoch = $5 FOR KEY SHARE",
)

# A look at the primary key for each place, whatever else there is. The subquery keeps PostgreSQL from joining by a read
# of the whole table, for which it takes a few places to be a thousand.
_EPOCH: Final = (
    "SELECT epoch FROM eventbus_checkpoints c WHERE c.consumer = given.consumer AND c.generation = given.generation "
    'AND c.topic = given.topic AND c."partition" = given."partition" AND c.cluster_id = given.cluster_id '
    "AND c.topic_id = given.topic_id"
)
_EPOCHS: Final = Statement(
    sqlite=text(
        f"""SELECT ({_EPOCH}) FROM (
            SELECT json_extract(value, '$[0]') AS consumer, json_extract(value, '$[1]') AS generation,
                   json_extract(value, '$[2]') AS topic, json_extract(value, '$[3]') AS "partition",
                   json_extract(value, '$[4]') AS cluster_id, json_extract(value, '$[5]') AS topic_id, key AS number
            FROM json_each(:places)
        ) AS given ORDER BY number"""  # noqa: S608 (our own names)
    ),
    postgresql=text(
        f"""SELECT ({_EPOCH}) FROM unnest(
            CAST(:consumers AS text[]), CAST(:generations AS integer[]), CAST(:topics AS text[]),
            CAST(:partitions AS integer[]), CAST(:cluster_ids AS text[]), CAST(:topic_ids AS text[])
        ) WITH ORDINALITY AS given(consumer, generation, topic, "partition", cluster_id, topic_id, number)
        ORDER BY number"""  # noqa: S608 (our own names)
    ),
)


@dataclass(frozen=True, slots=True)
class LogPartition:
    """A partition of one log, which no other log can be mistaken for."""

    cluster_id: str
    topic: str
    topic_id: str
    partition: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A consumer's place in a partition, and the epoch that it was claimed with. None: nothing has been applied yet."""

    consumer: str
    generation: int
    log: LogPartition
    epoch: int
    next_offset: int | None


class Checkpoints:
    """The checkpoints of a database."""

    async def claim(self, connection: AsyncConnection, consumer: str, generation: int, log: LogPartition) -> Checkpoint:
        """
        Take the partition over: waits for the transactions in which the former owner advances or holds the checkpoint,
        if there are any, and gives what they have left. Raises ForeignLog when the checkpoint belongs to another log.
        """
        now = datetime.now(UTC)
        # The update alone would wait for who advances, and pass by those who hold.
        held = select(checkpoints.c.epoch).where(_is(consumer, generation, log)).with_for_update()
        await connection.execute(held)
        statement = (
            insert_into(connection, checkpoints)
            .values(
                consumer=consumer,
                generation=generation,
                topic=log.topic,
                partition=log.partition,
                cluster_id=log.cluster_id,
                topic_id=log.topic_id,
                epoch=1,
                next_offset=None,
                updated_at=now,
            )
            .on_conflict_do_update(
                index_elements=[
                    checkpoints.c.consumer,
                    checkpoints.c.generation,
                    checkpoints.c.topic,
                    checkpoints.c.partition,
                ],
                set_={"epoch": checkpoints.c.epoch + 1, "updated_at": now},
                where=and_(checkpoints.c.cluster_id == log.cluster_id, checkpoints.c.topic_id == log.topic_id),
            )
            .returning(checkpoints.c.epoch, checkpoints.c.next_offset)
        )
        claimed = (await connection.execute(statement)).one_or_none()
        if claimed is not None:
            return Checkpoint(consumer, generation, log, claimed.epoch, claimed.next_offset)
        found = next(
            checkpoint
            for checkpoint in await self.read(connection, consumer, generation)
            if (checkpoint.log.topic, checkpoint.log.partition) == (log.topic, log.partition)
        )
        raise ForeignLog(_foreign(found, log))

    async def advance(self, connection: AsyncConnection, checkpoint: Checkpoint, next_offset: int) -> Checkpoint:
        """
        Move from the checkpoint to *next_offset* (the same one only checks the fence). Raises CheckpointFenced, and
        changes nothing, when another owner has claimed the partition since; ValueError when it would go back.
        """
        if checkpoint.next_offset is not None and next_offset < checkpoint.next_offset:
            raise ValueError(f"{_name(checkpoint)}: cannot go back from {checkpoint.next_offset} to {next_offset}")
        log = checkpoint.log
        moved = await _ADVANCE.execute(
            connection,
            next_offset,
            datetime.now(UTC),
            checkpoint.consumer,
            checkpoint.generation,
            log.topic,
            log.partition,
            checkpoint.epoch,
            checkpoint.next_offset,
        )
        if moved.rowcount != 1:
            raise CheckpointFenced(_fenced(checkpoint))
        return Checkpoint(checkpoint.consumer, checkpoint.generation, log, checkpoint.epoch, next_offset)

    async def hold(self, connection: AsyncConnection, checkpoint: Checkpoint) -> None:
        """
        Have nobody claim the partition until this transaction ends. Any number of transactions hold it at the same
        time, and it advances beside them. Raises CheckpointFenced when another owner has claimed it since.
        """
        log = checkpoint.log
        held = await _HOLD.execute(
            connection, checkpoint.consumer, checkpoint.generation, log.topic, log.partition, checkpoint.epoch
        )
        if held.first() is None:
            raise CheckpointFenced(_fenced(checkpoint))

    async def seek(self, connection: AsyncConnection, checkpoint: Checkpoint, next_offset: int) -> Checkpoint:
        """
        Put the consumer at *next_offset*, back or forth, under a new epoch: its owner is fenced, and claims there.
        Waits as `claim` does. Raises CheckpointFenced when somebody has claimed the partition since *checkpoint* was
        read; that its owner has advanced meanwhile is no matter.
        """
        place = _is(checkpoint.consumer, checkpoint.generation, checkpoint.log)
        await connection.execute(select(checkpoints.c.epoch).where(place).with_for_update())
        statement = (
            update(checkpoints)
            .where(
                place,
                checkpoints.c.epoch == checkpoint.epoch,
                checkpoints.c.cluster_id == checkpoint.log.cluster_id,
                checkpoints.c.topic_id == checkpoint.log.topic_id,
            )
            .values(epoch=checkpoint.epoch + 1, next_offset=next_offset, updated_at=datetime.now(UTC))
        )
        if (await connection.execute(statement)).rowcount != 1:
            raise CheckpointFenced(_fenced(checkpoint))
        return replace(checkpoint, epoch=checkpoint.epoch + 1, next_offset=next_offset)

    async def read(self, connection: AsyncConnection, consumer: str, generation: int) -> list[Checkpoint]:
        """All checkpoints of the consumer's generation, by topic and partition; nobody is fenced by reading."""
        statement = (
            select(checkpoints)
            .where(checkpoints.c.consumer == consumer, checkpoints.c.generation == generation)
            .order_by(checkpoints.c.topic, checkpoints.c.partition)
        )
        return [_checkpoint(row) for row in await connection.execute(statement)]

    async def epochs(self, connection: AsyncConnection, places: Sequence[Checkpoint]) -> list[int | None]:
        """
        The epoch that each of *places* has by now, None for one that is gone or is of another log. Costs what they are,
        however many checkpoints the database has.
        """
        if not places:
            return []
        rows = [
            (one.consumer, one.generation, one.log.topic, one.log.partition, one.log.cluster_id, one.log.topic_id)
            for one in places
        ]
        if is_sqlite(connection):
            given: dict[str, object] = {"places": json.dumps(rows)}
        else:
            columns = ("consumers", "generations", "topics", "partitions", "cluster_ids", "topic_ids")
            given = {name: list(column) for name, column in zip(columns, zip(*rows, strict=True), strict=True)}
        return list((await connection.execute(_EPOCHS.on(connection), given)).scalars())

    async def list(self, connection: AsyncConnection) -> list[Checkpoint]:
        """All checkpoints of the database, by consumer, generation, topic and partition."""
        statement = select(checkpoints).order_by(
            checkpoints.c.consumer, checkpoints.c.generation, checkpoints.c.topic, checkpoints.c.partition
        )
        return [_checkpoint(row) for row in await connection.execute(statement)]


def _checkpoint(row: Row[tuple[object, ...]]) -> Checkpoint:
    return Checkpoint(
        row.consumer,
        row.generation,
        LogPartition(row.cluster_id, row.topic, row.topic_id, row.partition),
        row.epoch,
        row.next_offset,
    )


def _is(consumer: str, generation: int, log: LogPartition) -> ColumnElement[bool]:
    return and_(
        checkpoints.c.consumer == consumer,
        checkpoints.c.generation == generation,
        checkpoints.c.topic == log.topic,
        checkpoints.c.partition == log.partition,
    )


def _fenced(checkpoint: Checkpoint) -> str:
    return (
        f"{_name(checkpoint)}: claimed with epoch {checkpoint.epoch} at offset {checkpoint.next_offset}, "
        "and taken over by another owner since"
    )


def _name(checkpoint: Checkpoint) -> str:
    return f"checkpoint of {checkpoint.consumer!r} in {checkpoint.log.topic}-{checkpoint.log.partition}"


def _foreign(found: Checkpoint, log: LogPartition) -> str:
    if found.log.cluster_id != log.cluster_id:
        difference = f"it belongs to the log of cluster {found.log.cluster_id}, this one is {log.cluster_id}"
    else:
        difference = f"it belongs to topic id {found.log.topic_id}, this topic of the same name is {log.topic_id}"
    return (
        f"{_name(found)} (next offset {found.next_offset}): {difference}. Give the service the broker (or the "
        "broker its data directory) that it had, or start it with an empty database; a projection can also be rebuilt"
    )
