"""A Kafka-protocol cluster as a `Transport`: its topics and identity, and the makers of clients."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from eventbus.config import GroupProtocol
from eventbus.errors import BrokerUnavailable
from eventbus.transport.kafka.admin import KafkaAdmin
from eventbus.transport.kafka.connection import Connection
from eventbus.transport.kafka.consumer import KafkaConsumer
from eventbus.transport.kafka.option_checks import check_options
from eventbus.transport.kafka.options import admin_options
from eventbus.transport.kafka.producer import KafkaProducer
from eventbus.transport.kafka.reader import KafkaReader
from eventbus.transport.kafka.transactions import KafkaTransactionalProducer
from eventbus.transport.port import LogDescription, Revoked, TopicPartition
from eventbus.transport.thread import CallThread

_log = logging.getLogger("eventbus.transport")

_PROBE_SECONDS = 1.0
_RETRY_SECONDS_MAX = 2.0


class KafkaTransport:
    """
    The `Transport` over librdkafka.

    bootstrap     `host:port,host:port`
    options       librdkafka's, such as `security.protocol`; they apply to every client
    topic_options configuration of the topics that `ensure_topics` creates, beside `retention.ms=-1`
    client_id     the service's name, for the broker's logs and quotas
    group_protocol
                  how members of its groups share partitions
    replication   copies of the topics that it creates; None: see `Replication`
    create_topics False: missing topics are told, and waited for
    """

    def __init__(
        self,
        bootstrap: str,
        options: Mapping[str, str] | None = None,
        *,
        topic_options: Mapping[str, str] | None = None,
        client_id: str = "eventbus",
        group_protocol: GroupProtocol = "classic",
        replication: int | None = None,
        create_topics: bool = True,
    ) -> None:
        self._shared: dict[str, str | int] = {
            **(options or {}),
            "bootstrap.servers": bootstrap,
            "client.id": client_id,
        }
        self._has_options = bool(options)
        self._group_protocol: GroupProtocol = group_protocol
        self._replication = replication
        self._create_topics = create_topics
        self._topic_options = {"retention.ms": "-1", **(topic_options or {})}
        self._connection = Connection(bootstrap, self._probe)
        self._logger = _librdkafka_logger()
        self._thread = CallThread("eventbus-admin")
        self._admin = KafkaAdmin(admin_options(self._shared), self._connection.error, self._logger)
        self._warned: set[str] = set()
        self._closed = False

    async def start(self) -> None:
        self._connection.start()
        await self._thread.submit(self._admin.open)
        if self._has_options:
            await self._thread.submit(lambda: check_options(self._shared, self._group_protocol))

    async def aclose(self) -> None:
        await self._connection.aclose()
        if not self._closed:
            self._closed = True
            self._thread.submit(self._admin.close)
        await self._thread.aclose()

    @property
    def away_seconds(self) -> float | None:
        return self._connection.away_seconds

    async def ensure_topics(self, topics: Mapping[str, int]) -> None:
        pause = 0.05
        missing = dict(topics)
        told: set[str] = set()
        while missing:
            try:
                found = await self._thread.submit(lambda: self._admin.partitions(list(missing)))
                for topic, partitions in found.items():
                    self._compare(topic, partitions, missing.pop(topic))
                if missing and self._create_topics:
                    await self._thread.submit(
                        lambda: self._admin.create(missing, self._topic_options, self._replication)
                    )
                elif missing and told != set(missing):
                    told = set(missing)
                    _log.error(
                        "topics are missing, and EVENTBUS_CREATE_TOPICS=false: %s; waiting for whoever makes them with "
                        "`eventbus topics apply`",
                        ", ".join(sorted(missing)),
                    )
            except BrokerUnavailable as error:
                self._connection.suspect(str(error))
            if missing:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _RETRY_SECONDS_MAX)

    async def describe(self, topics: Sequence[str]) -> LogDescription:
        self._refuse_while_away()
        return await self._thread.submit(lambda: self._admin.describe(topics))

    def producer(self) -> KafkaProducer:
        producer = KafkaProducer(self._shared, self._connection, self._logger)
        producer.connect()
        return producer

    def transactional_producer(self, transactional_id: str) -> KafkaTransactionalProducer:
        return KafkaTransactionalProducer(self._shared, transactional_id, self._connection, self._logger)

    def consumer(
        self, group_id: str, topics: Sequence[str], *, instance_id: str | None, revoked: Revoked
    ) -> KafkaConsumer:
        return KafkaConsumer(
            self._shared,
            group_id,
            topics,
            instance_id=instance_id,
            protocol=self._group_protocol,
            revoked=revoked,
            left_over=self._left_over,
            connection=self._connection,
            logger=self._logger,
        )

    def reader(self, offsets: Mapping[TopicPartition, int]) -> KafkaReader:
        return KafkaReader(self._shared, offsets, connection=self._connection, logger=self._logger)

    async def _left_over(self, group_id: str, topics: Sequence[str]) -> frozenset[TopicPartition]:
        self._refuse_while_away()
        return await self._thread.submit(lambda: self._admin.left_over(group_id, topics))

    def _refuse_while_away(self) -> None:
        """Asking would only keep the thread from the probe that finds out when it is back."""
        if (away := self.away_seconds) is not None:
            raise BrokerUnavailable(f"the broker has been away for {away:.1f} s")

    async def _probe(self) -> None:
        await self._thread.submit(lambda: self._admin.cluster_id(_PROBE_SECONDS))

    def _compare(self, topic: str, partitions: int, wanted: int) -> None:
        if partitions != wanted and topic not in self._warned:
            self._warned.add(topic)
            _log.warning(
                "topic %s has %d partitions, not the %d that are set (EVENTBUS_PARTITIONS); it is used as it is",
                topic,
                partitions,
                wanted,
            )


# librdkafka's words for what an absent broker brings about.
# FATAL is a member's end, which is said with the way out.
_ABSENCE = frozenset({"FAIL", "FATAL", "ERROR", "SESSTMOUT", "REQTMOUT", "GETPID"})


class _Quieten(logging.Filter):
    """Lines about an absent broker go down to DEBUG: `Connection` says it once, librdkafka at each attempt."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.getMessage().partition(" ")[0] in _ABSENCE:
            record.levelno, record.levelname = logging.DEBUG, "DEBUG"
            return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)
        return True


def _librdkafka_logger() -> logging.Logger:
    logger = logging.getLogger("eventbus.librdkafka")
    if not any(isinstance(known, _Quieten) for known in logger.filters):
        logger.addFilter(_Quieten())
    return logger
