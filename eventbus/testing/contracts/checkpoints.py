"""
What checkpoints promise, on any database.
"""

from dataclasses import replace

import anyio
import pytest

from eventbus.database import Checkpoint, Checkpoints, Database, HandlerStarts, LogPartition
from eventbus.errors import CheckpointFenced, ForeignLog

LOG = LogPartition("cluster-1", "orders", "topic-id-1", 3)


class CheckpointsContract:
    """Tests for an implementation: give `database` and, where it is not the framework's own, `checkpoints`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def checkpoints(self) -> Checkpoints:
        return Checkpoints()

    async def test_a_new_checkpoint_has_no_offset(self, database: Database, checkpoints: Checkpoints) -> None:
        """Where to begin is for the consumer to say; claiming alone never sets it."""
        async with database.transaction() as connection:
            assert await checkpoints.claim(connection, "service", 0, LOG) == Checkpoint("service", 0, LOG, 1, None)
            assert await checkpoints.claim(connection, "service", 0, LOG) == Checkpoint("service", 0, LOG, 2, None)

    async def test_an_advance_is_what_the_next_claim_gives(self, database: Database, checkpoints: Checkpoints) -> None:
        """From nothing to an offset, and on."""
        async with database.transaction() as connection:
            checkpoint = await checkpoints.claim(connection, "service", 0, LOG)
            checkpoint = await checkpoints.advance(connection, checkpoint, 10)
            checkpoint = await checkpoints.advance(connection, checkpoint, 25)
        assert checkpoint.next_offset == 25
        async with database.transaction() as connection:
            assert (await checkpoints.claim(connection, "service", 0, LOG)).next_offset == 25

    async def test_a_claim_fences_the_former_owner(self, database: Database, checkpoints: Checkpoints) -> None:
        """Its next advance raises, and its transaction's effects go with it."""
        async with database.transaction() as connection:
            old = await checkpoints.claim(connection, "service", 0, LOG)
            old = await checkpoints.advance(connection, old, 10)
        async with database.transaction() as connection:
            new = await checkpoints.claim(connection, "service", 0, LOG)
        with pytest.raises(CheckpointFenced, match=r"'service' in orders-3.*epoch 1 at offset 10"):
            async with database.transaction() as connection:
                await checkpoints.advance(connection, old, 20)
        async with database.transaction() as connection:
            await checkpoints.advance(connection, new, 11)

    async def test_a_seek_moves_back_and_fences_the_owner(self, database: Database, checkpoints: Checkpoints) -> None:
        """Also one that has advanced since the place was read; not one that has claimed since."""
        async with database.transaction() as connection:
            owned = await checkpoints.claim(connection, "service", 0, LOG)
            read = owned = await checkpoints.advance(connection, owned, 10)
        async with database.transaction() as connection:
            owned = await checkpoints.advance(connection, owned, 20)
        async with database.transaction() as connection:
            assert (await checkpoints.seek(connection, read, 3)).next_offset == 3
        with pytest.raises(CheckpointFenced):
            async with database.transaction() as connection:
                await checkpoints.advance(connection, owned, 30)
        async with database.transaction() as connection:
            assert await checkpoints.list(connection) == await checkpoints.read(connection, "service", 0)
            assert (await checkpoints.claim(connection, "service", 0, LOG)).next_offset == 3
        with pytest.raises(CheckpointFenced):
            async with database.transaction() as connection:
                await checkpoints.seek(connection, read, 0)

    async def test_an_advance_from_another_offset_is_fenced(self, database: Database, checkpoints: Checkpoints) -> None:
        """Two tasks with one claim cannot both move it: the effects between would happen twice."""
        async with database.transaction() as connection:
            checkpoint = await checkpoints.claim(connection, "service", 0, LOG)
            await checkpoints.advance(connection, checkpoint, 10)
            with pytest.raises(CheckpointFenced):
                await checkpoints.advance(connection, checkpoint, 12)

    async def test_advancing_to_the_same_offset_only_checks_the_fence(
        self, database: Database, checkpoints: Checkpoints
    ) -> None:
        """It succeeds for the owner and fails for who was fenced."""
        async with database.transaction() as connection:
            checkpoint = await checkpoints.claim(connection, "service", 0, LOG)
            checkpoint = await checkpoints.advance(connection, checkpoint, 10)
            assert await checkpoints.advance(connection, checkpoint, 10) == checkpoint
            await checkpoints.claim(connection, "service", 0, LOG)
            with pytest.raises(CheckpointFenced):
                await checkpoints.advance(connection, checkpoint, 10)

    async def test_a_held_checkpoint_is_advanced_beside_those_who_hold_it(
        self, database: Database, checkpoints: Checkpoints
    ) -> None:
        """Holding moves nothing, and succeeds at an older offset of the same claim."""
        async with database.transaction() as connection:
            checkpoint = await checkpoints.claim(connection, "service", 0, LOG)
            moved = await checkpoints.advance(connection, checkpoint, 10)
        if database.dialect == "sqlite":
            # One writer: a transaction after the other.
            async with database.transaction() as connection:
                await checkpoints.hold(connection, checkpoint)
            async with database.transaction() as connection:
                await checkpoints.advance(connection, moved, 20)
        else:
            async with database.transaction() as holding, database.transaction() as holding_too:
                await checkpoints.hold(holding, checkpoint)
                await checkpoints.hold(holding_too, moved)
                async with database.transaction() as advancing:
                    await checkpoints.advance(advancing, moved, 20)
        async with database.reading() as connection:
            (found,) = await checkpoints.read(connection, "service", 0)
        assert found.next_offset == 20

    async def test_a_claim_waits_for_those_who_hold_and_fences_those_who_come_after(
        self, database: Database, checkpoints: Checkpoints
    ) -> None:
        """What an owner commits in a transaction that holds, it commits before the next owner reads the checkpoint."""
        events: list[str] = []
        holds = anyio.Event()
        async with database.transaction() as connection:
            old = await checkpoints.claim(connection, "service", 0, LOG)

        async def hold() -> None:
            async with database.transaction() as connection:
                await checkpoints.hold(connection, old)
                holds.set()
                await anyio.sleep(0.2)
                events.append("held")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hold)
            await holds.wait()
            async with database.transaction() as connection:
                await checkpoints.claim(connection, "service", 0, LOG)
                events.append("claimed")
        assert events == ["held", "claimed"]
        with pytest.raises(CheckpointFenced, match="taken over by another owner"):
            async with database.transaction() as connection:
                await checkpoints.hold(connection, old)

    async def test_a_checkpoint_never_goes_back(self, database: Database, checkpoints: Checkpoints) -> None:
        """A caller that tries has lost count."""
        async with database.transaction() as connection:
            checkpoint = await checkpoints.claim(connection, "service", 0, LOG)
            checkpoint = await checkpoints.advance(connection, checkpoint, 10)
            with pytest.raises(ValueError, match="from 10 to 9"):
                await checkpoints.advance(connection, checkpoint, 9)

    async def test_a_claim_waits_for_the_owners_open_transaction(
        self, database: Database, checkpoints: Checkpoints
    ) -> None:
        """It gives the offset that the owner has committed in the end, and the owner keeps its effects."""
        async with database.transaction() as connection:
            checkpoint = await checkpoints.claim(connection, "service", 0, LOG)
        claimed: list[Checkpoint] = []

        async def claim() -> None:
            async with database.transaction() as connection:
                claimed.append(await checkpoints.claim(connection, "service", 0, LOG))

        async with anyio.create_task_group() as tasks, database.transaction() as connection:
            await checkpoints.advance(connection, checkpoint, 42)
            tasks.start_soon(claim)
            await anyio.sleep(0.05)
            assert claimed == []
        assert [found.next_offset for found in claimed] == [42]

    @pytest.mark.parametrize(
        ("found", "words"),
        [
            (replace(LOG, cluster_id="cluster-2"), "cluster cluster-1, this one is cluster-2"),
            (replace(LOG, topic_id="topic-id-2"), "topic id topic-id-1, this topic of the same name is topic-id-2"),
        ],
    )
    async def test_a_checkpoint_of_another_log_is_refused_with_the_way_out(
        self, database: Database, checkpoints: Checkpoints, found: LogPartition, words: str
    ) -> None:
        """The text names consumer, topic, offset, what was expected and what was found; nobody is fenced by it."""
        async with database.transaction() as connection:
            checkpoint = await checkpoints.claim(connection, "service", 0, LOG)
            checkpoint = await checkpoints.advance(connection, checkpoint, 10)
            with pytest.raises(ForeignLog) as raised:
                await checkpoints.claim(connection, "service", 0, found)
            await checkpoints.advance(connection, checkpoint, 11)
        assert words in str(raised.value)
        assert "'service' in orders-3 (next offset 10)" in str(raised.value)
        assert "empty database" in str(raised.value)

    async def test_generations_consumers_and_partitions_are_apart(
        self, database: Database, checkpoints: Checkpoints
    ) -> None:
        """Reading gives one generation's checkpoints in order, and fences nobody."""
        async with database.transaction() as connection:
            moved = await checkpoints.claim(connection, "orders", 1, LOG)
            for consumer, generation, partition in (("orders", 1, 0), ("orders", 2, 3), ("other", 1, 3)):
                await checkpoints.claim(connection, consumer, generation, replace(LOG, partition=partition))
            moved = await checkpoints.advance(connection, moved, 5)
            found = await checkpoints.read(connection, "orders", 1)
            assert [(one.log.partition, one.next_offset) for one in found] == [(0, None), (3, 5)]
            await checkpoints.advance(connection, moved, 6)

    async def test_epochs_are_looked_up_for_the_places_that_are_asked_for(
        self, database: Database, checkpoints: Checkpoints
    ) -> None:
        """In their order; None for a place that is not there, and for one that is another log's."""
        places = [replace(LOG, partition=number) for number in range(3)]
        async with database.transaction() as connection:
            claimed = [await checkpoints.claim(connection, "service", 0, place) for place in places]
            moved = await checkpoints.advance(connection, claimed[1], 7)
            await checkpoints.claim(connection, "service", 0, places[2])
            await checkpoints.claim(connection, "other", 0, places[0])
            gone = replace(moved, generation=9)
            foreign = replace(moved, log=replace(moved.log, topic_id="topic-id-2"))
            asked = [claimed[2], gone, claimed[0], foreign, moved]
            assert await checkpoints.epochs(connection, asked) == [2, None, 1, None, 1]
            assert await checkpoints.epochs(connection, []) == []


class HandlerStartsContract:
    """Tests for an implementation: give `database` and, where it is not the framework's own, `starts`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def starts(self) -> HandlerStarts:
        return HandlerStarts()

    async def test_a_handler_keeps_its_first_start(self, database: Database, starts: HandlerStarts) -> None:
        """Per partition of one log: in a topic that was made again it starts again."""
        async with database.transaction() as connection:
            await starts.record(connection, "service", LOG, {"one": 5})
            await starts.record(connection, "service", LOG, {"one": 9, "two": 7})
            await starts.record(connection, "service", replace(LOG, topic_id="topic-id-2"), {"one": 0})
            assert await starts.read(connection, "service", LOG) == {"one": 5, "two": 7}
            assert await starts.read(connection, "other", LOG) == {}
