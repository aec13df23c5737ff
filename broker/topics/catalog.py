"""
The topics: which there are, their ids and settings, and the partitions behind them.

Durable     every change is a line of the metadata log, on the disk before it shows
Create      line first, then directories: a topic without its directories is completed at the next start
Delete      line first, then each directory is renamed to NAME-N.ID-delete, then removed in a worker thread. Whatever of
            it a crash leaves is finished at the next start; a new topic of the same name never meets the old one's
            files
Broken      a partition whose log the disk does not give, or has damaged, is offline; all others are served
Strangers   a partition directory that no topic accounts for is set aside as NAME-N.stray at start: never deleted, never
            served
Epochs      a partition's leader epoch rises by one with every start after a stop that was not clean: a client then asks
            where its epoch ended and finds out about a tail that was cut
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from broker.clock import Clock
from broker.config import BrokerConfig, InvalidConfig, TopicConfig
from broker.delayed import Purgatory
from broker.errors import ErrorCode, KafkaError
from broker.identifiers import TopicId, TopicPartition, new_topic_id
from broker.limits import LimitLog
from broker.storage import CheckpointWrite, DataDirectory, FileSystem, OpeningProgress, PartitionLog
from broker.storage.errors import StorageError
from broker.storage.health import concerns_one_log
from broker.storage.names import deleted_directory, is_deleted_directory
from broker.topics.log_config import log_config
from broker.topics.metadata_log import MetadataLog, MetadataState
from broker.topics.metadata_records import (
    ConfigsReplaced,
    EpochBegun,
    PartitionsAdded,
    TopicCreated,
    TopicDeleted,
)
from broker.topics.names import INTERNAL_TOPICS, check_collision, check_name
from broker.topics.partition import Partition
from broker.topics.producer_ids import ProducerIds

LOG = logging.getLogger("broker.topics")

STRAY = ".stray"


@dataclass(slots=True)
class Topic:
    """One topic; `overrides` are the settings that were given for it, `config` what holds with the defaults."""

    name: str
    id: TopicId
    overrides: Mapping[str, str]
    config: TopicConfig
    created_epoch: int
    partitions: list[Partition] = field(default_factory=list[Partition])

    @property
    def is_internal(self) -> bool:
        return self.name in INTERNAL_TOPICS


class Catalog:
    """All topics of the data directory. Raises KafkaError with the code and the text for the answer."""

    def __init__(
        self,
        directory: DataDirectory,
        *,
        files: FileSystem,
        clock: Clock,
        config: BrokerConfig,
        parked: Purgatory,
    ) -> None:
        self._directory = directory
        self._files = files
        self._clock = clock
        self._config = config
        self._parked = parked
        self._topics: dict[str, Topic] = {}
        self._by_id: dict[TopicId, Topic] = {}
        self._doomed: list[Path] = []
        # A topic may have been deleted just before a crash, and its directories renamed by this start.
        self._names_unsynced = True
        self._limits = LimitLog()
        self.changes = 0
        """Rises with every topic that is created, deleted or widened."""
        self._log, state = MetadataLog.open(directory.path, files=files)
        self._epoch = state.epoch
        self.producer_ids = ProducerIds(self._log, state.next_producer_id)
        if not directory.clean:
            self._epoch = state.epoch = state.epoch + 1
            self._log.append([EpochBegun(self._epoch)])
        self._open(state)

    # What there is

    def __iter__(self) -> Iterator[Topic]:
        return iter(self._topics.values())

    def __len__(self) -> int:
        return len(self._topics)

    @property
    def partition_count(self) -> int:
        return sum(len(topic.partitions) for topic in self._topics.values())

    def find(self, name: str) -> Topic | None:
        return self._topics.get(name)

    def find_by_id(self, topic_id: TopicId) -> Topic | None:
        return self._by_id.get(topic_id)

    def partitions(self) -> Iterator[Partition]:
        """Those whose logs are open."""
        for topic in self._topics.values():
            for partition in topic.partitions:
                if partition.unopened is None:
                    yield partition

    def unopened(self) -> list[Partition]:
        """Those whose logs could not be opened: offline until the broker starts again."""
        every = (partition for topic in self._topics.values() for partition in topic.partitions)
        return [partition for partition in every if partition.unopened is not None]

    def logs(self) -> dict[TopicPartition, PartitionLog]:
        """All open logs, for the checkpoints."""
        return {TopicPartition(each.topic, each.index): each.log for each in self.partitions()}

    # Changes

    def check_new(self, name: str, partitions: int, overrides: Mapping[str, str]) -> TopicConfig:
        """The settings that a topic would have. Raises KafkaError with the reason why it cannot be created."""
        check_name(name)
        if name in self._topics:
            raise KafkaError(ErrorCode.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
        check_collision(name, self._topics)
        if len(self._topics) >= self._config.max_topics:
            self._at_limit("max.topics", self._config.max_topics, f"topic {name}")
            raise KafkaError(
                ErrorCode.POLICY_VIOLATION,
                f"there are {len(self._topics)} topics already, max.topics={self._config.max_topics}.",
            )
        self.check_partition_count(partitions, partitions)
        return self.check_configs(overrides)

    def check_configs(self, overrides: Mapping[str, str]) -> TopicConfig:
        """The settings with the broker's defaults below *overrides*. Raises KafkaError INVALID_CONFIG."""
        size = sum(len(text.encode()) for text in (*overrides, *overrides.values()))
        size_max = self._config.topic_config_max_bytes
        if size > size_max:
            self._at_limit("topic.config.max.bytes", size_max, f"settings of {size} bytes")
            raise KafkaError(
                ErrorCode.INVALID_CONFIG, f"{size} bytes of settings for one topic, topic.config.max.bytes={size_max}."
            )
        return self._parsed(overrides)

    def create(self, name: str, partitions: int, overrides: Mapping[str, str]) -> Topic:
        """Creates a topic; when it returns, the topic survives a crash. Raises KafkaError, StorageError."""
        return self._create(name, partitions, overrides, self.check_new(name, partitions, overrides))

    def create_internal(self, name: str, partitions: int, overrides: Mapping[str, str]) -> Topic:
        """
        The same for a coordinator of the broker itself: no limit that strangers have used up keeps groups and
        transactions from working.
        """
        return self._create(name, partitions, overrides, self._parsed(overrides))

    def _parsed(self, overrides: Mapping[str, str]) -> TopicConfig:
        try:
            return TopicConfig.parse(overrides, self._config)
        except InvalidConfig as error:
            raise KafkaError(ErrorCode.INVALID_CONFIG, str(error)) from error

    def _create(self, name: str, partitions: int, overrides: Mapping[str, str], config: TopicConfig) -> Topic:
        self._forget_predecessors(name, range(partitions))
        topic = Topic(name, new_topic_id(), dict(overrides), config, self._epoch)
        self._log.append([TopicCreated(topic.id, name, partitions, topic.overrides, self._epoch)])
        self._topics[name] = topic
        self._by_id[topic.id] = topic
        self._open_partitions(topic, partitions, fresh=True)
        self.changes += 1
        LOG.info("topic created name=%s partitions=%d", name, partitions)
        return topic

    def add_partitions(self, topic: Topic, partitions: int) -> None:
        """Raises the number of partitions to *partitions*."""
        self.check_partition_count(partitions, partitions - len(topic.partitions))
        self._forget_predecessors(topic.name, range(len(topic.partitions), partitions))
        self._log.append([PartitionsAdded(topic.id, partitions)])
        self._open_partitions(topic, partitions, fresh=True)
        self.changes += 1
        LOG.info("partitions added topic=%s partitions=%d", topic.name, partitions)

    def replace_configs(self, topic: Topic, overrides: Mapping[str, str]) -> None:
        """Gives the topic these overrides and no others; they hold from the next append on."""
        config = self.check_configs(overrides)
        self._log.append([ConfigsReplaced(topic.id, overrides)])
        topic.overrides, topic.config = dict(overrides), config
        for partition in topic.partitions:
            if partition.unopened is not None:
                continue
            partition.log.config = log_config(config, self._config)

    def delete(self, topic: Topic) -> Sequence[Path]:
        """
        Deletes the topic; when it returns it is gone for good. The directories that it gives are renamed and waiting to
        be removed (`remove_directory`).
        """
        self._log.append([TopicDeleted(topic.id, topic.name)])
        del self._topics[topic.name]
        del self._by_id[topic.id]
        doomed: list[Path] = []
        for partition in topic.partitions:
            partition.deleted = True
            if partition.unopened is None:
                partition.log.close(clean=False)
            place = self._directory.partition_directory(TopicPartition(topic.name, partition.index))
            aside = deleted_directory(place)
            try:
                self._files.rename(place, aside)
                doomed.append(aside)
            except OSError as error:
                # Gone it is all the same: the next start finds the directory, and that its topic was deleted.
                LOG.error("directory of a deleted topic stays for now path=%s reason=%s", place, error)
            partition.advanced()
        self._names_unsynced = True
        self.changes += 1
        LOG.info("topic deleted name=%s", topic.name)
        return doomed

    def take_doomed(self) -> list[Path]:
        """Directories of deleted topics that were found at start and are waiting to be removed."""
        doomed, self._doomed = self._doomed, []
        return doomed

    def take_checkpoints(self) -> CheckpointWrite:
        """What the checkpoints have to say now, for a worker to write."""
        return self._directory.take_checkpoints(self.logs(), keep=self._unopened_places())

    def write_checkpoints(self) -> None:
        """Writes down where the logs start, and from where on a crash makes them be read. Raises OSError."""
        self.take_checkpoints().write()

    def close(self, *, clean: bool) -> bool:
        """Closes every log; True when all of them are clean, so that the next start need not read them."""
        for partition in self.unopened():
            LOG.error("log not closed cleanly partition=%s reason=it was never open", partition)
            clean = False
        for partition in self.partitions():
            try:
                partition.log.close(clean=clean)
            except StorageError as error:
                LOG.error("log not closed cleanly partition=%s reason=%s", partition, error)
                clean = False
        self._log.close()
        return clean

    # Start

    def _open(self, state: MetadataState) -> None:
        expected = {
            self._directory.partition_directory(TopicPartition(topic.name, index))
            for topic in state.topics.values()
            for index in range(topic.partitions)
        }
        for place, directory in list(self._directory.partition_directories()):
            if directory in expected:
                continue
            if place.topic in state.deleted_names:
                self._files.rename(directory, deleted_directory(directory))
            else:
                LOG.warning("directory set aside name=%s reason=no topic accounts for it", directory.name)
                self._files.rename(directory, directory.with_name(directory.name + STRAY))
        self._doomed.extend(
            self._directory.path / name
            for name in self._files.names(self._directory.path)
            if is_deleted_directory(name)
        )
        progress = OpeningProgress(self._clock, len(expected))
        for created in state.topics.values():
            try:
                config = TopicConfig.parse(created.configs, self._config)
            except InvalidConfig as error:
                LOG.error("settings ignored topic=%s reason=%s", created.name, error)
                config = TopicConfig.parse({}, self._config)
            topic = Topic(created.name, created.id, created.configs, config, created.epoch)
            self._topics[topic.name] = topic
            self._by_id[topic.id] = topic
            self._open_partitions(topic, created.partitions, fresh=False, progress=progress)
        self._log.rewrite(state)

    def _open_partitions(
        self, topic: Topic, count: int, *, fresh: bool, progress: OpeningProgress | None = None
    ) -> None:
        settings = log_config(topic.config, self._config)
        recovery_points = self._directory.recovery_points()
        log_starts = self._directory.log_start_offsets()
        clean_offsets = self._directory.clean_offsets()
        there = frozenset(self._files.names(self._directory.path)) if fresh else frozenset[str]()
        for index in range(len(topic.partitions), count):
            place = TopicPartition(topic.name, index)
            directory = self._directory.partition_directory(place)
            if fresh and directory.name in there:
                # An older topic's, whose renaming failed.
                self._files.rename(directory, deleted_directory(directory))
            log: PartitionLog | StorageError
            try:
                log = PartitionLog.open(
                    directory,
                    files=self._files,
                    clock=self._clock,
                    config=settings,
                    clean=self._directory.clean,
                    recovery_point=0 if fresh else recovery_points.get(place, 0),
                    log_start_offset=0 if fresh else log_starts.get(place, 0),
                    clean_offset=0 if fresh else clean_offsets.get(place, 0),
                    disk=self._directory.disk,
                    progress=progress,
                )
            except StorageError as error:
                if fresh or not concerns_one_log(error):
                    raise
                LOG.error("partition is offline partition=%s reason=%s; its log cannot be opened", place, error.message)
                log = error
            else:
                if log.recovered.bytes_cut:
                    LOG.warning(
                        "log recovered partition=%s bytes_cut=%d next_offset=%d",
                        place,
                        log.recovered.bytes_cut,
                        log.next_offset,
                    )
            if progress is not None:
                progress.opened()
            epoch = self._epoch - topic.created_epoch
            topic.partitions.append(Partition(topic.name, topic.id, index, log, epoch, self._parked))

    def _unopened_places(self) -> list[TopicPartition]:
        return [TopicPartition(each.topic, each.index) for each in self.unopened()]

    def _forget_predecessors(self, name: str, partitions: range) -> None:
        """
        Takes what the disk says of older partitions of these names away, before a crash makes it true: the names of
        their directories, and the checkpoints.
        """
        if self._names_unsynced:
            try:
                self._files.sync_directory(self._directory.path)
            except OSError as error:
                raise StorageError(self._directory.path, error) from error
            self._names_unsynced = False
        if self._directory.checkpoints_mention(TopicPartition(name, index) for index in partitions):
            try:
                self.write_checkpoints()
            except OSError as error:
                raise StorageError(self._directory.path, error) from error

    def _at_limit(self, key: str, limit: int, what: str) -> None:
        self._limits.reached(key, limit, what, self._clock.monotonic())

    def check_partition_count(self, partitions: int, more: int) -> None:
        if partitions < 1:
            raise KafkaError(ErrorCode.INVALID_PARTITIONS, f"Number of partitions was set to {partitions}.")
        # Each partition costs a directory and an open file; who asks for a million of them is mistaken, or means harm.
        if self.partition_count + more > self._config.max_partitions:
            self._at_limit("max.partitions", self._config.max_partitions, f"{more} partitions more")
            raise KafkaError(
                ErrorCode.POLICY_VIOLATION,
                f"{more} partitions more would make {self.partition_count + more}, "
                f"above max.partitions={self._config.max_partitions}.",
            )


def remove_directories(directories: Sequence[Path], files: FileSystem) -> None:
    """Removes what `Catalog.delete` or `Catalog.take_doomed` has given. For a worker thread."""
    for directory in directories:
        for name in files.names(directory):
            files.remove(directory / name)
        files.remove_directory(directory)
