"""
The broker keys of Apache Kafka 4.3 that are taken from a configuration, checked, answered, and not acted upon.

A configuration that was written for Apache Kafka starts here, too. What it would be dangerous to pass over is not in
this table but refused (`broker.config.refused`).

Columns  name, type, default ("-" none, "''" empty), range (both ends included), "internal" for what is not described
Source   Kafka 4.3.1's `KafkaConfig`
"""

from broker.config.keys import ConfigKey, ConfigType

_TABLES: dict[str, str] = {
    "Between brokers and controllers: there is one broker and nothing to replicate.": """
      alter.log.dirs.replication.quota.window.num int 11 1..
      alter.log.dirs.replication.quota.window.size.seconds int 1 1..
      auto.leader.rebalance.enable boolean true
      broker.heartbeat.interval.ms int 2000
      broker.rack string -
      broker.session.timeout.ms int 9000
      controlled.shutdown.enable boolean true
      controller.listener.names list -
      controller.performance.always.log.threshold.ms long 2000 0.. internal
      controller.performance.sample.period.ms long 60000 100.. internal
      controller.quorum.append.linger.ms int 25 0..
      controller.quorum.auto.join.enable boolean false
      controller.quorum.bootstrap.servers list ''
      controller.quorum.election.backoff.max.ms int 1000 0..
      controller.quorum.election.timeout.ms int 1000 0..
      controller.quorum.fetch.max.bytes int 1048576 1..
      controller.quorum.fetch.snapshot.max.bytes int 1048576 1..
      controller.quorum.fetch.timeout.ms int 2000 0..
      controller.quorum.request.timeout.ms int 2000 0..
      controller.quorum.retry.backoff.ms int 20 0..
      controller.quorum.voters list ''
      controller.quota.window.num int 11 1..
      controller.quota.window.size.seconds int 1 1..
      controller.socket.timeout.ms int 30000
      cordoned.log.dirs list ''
      follower.fetch.last.tiered.offset.enable boolean false
      initial.broker.registration.timeout.ms int 60000
      inter.broker.listener.name string -
      internal.metadata.delete.delay.millis long 60000 internal
      internal.metadata.log.segment.bytes int - internal
      internal.metadata.max.batch.size.in.bytes int 8388608 internal
      leader.imbalance.check.interval.seconds long 300 1..
      listener.security.protocol.map string SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT
      log.dir.failure.timeout.ms long 30000 1..
      metadata.log.dir string -
      metadata.log.max.record.bytes.between.snapshots long 20971520 1..
      metadata.log.max.snapshot.interval.ms long 3600000 0..
      metadata.log.segment.bytes int 1073741824 8388608..
      metadata.log.segment.ms long 604800000
      metadata.max.idle.interval.ms int 500 0..
      metadata.max.retention.bytes long 104857600
      metadata.max.retention.ms long 604800000
      num.replica.alter.log.dirs.threads int -
      num.replica.fetchers int 1 1..
      process.roles list -
      replica.fetch.backoff.ms int 1000 0..
      replica.fetch.max.bytes int 1048576 0..
      replica.fetch.min.bytes int 1
      replica.fetch.response.max.bytes int 10485760 0..
      replica.fetch.wait.max.ms int 500
      replica.high.watermark.checkpoint.interval.ms long 5000
      replica.lag.time.max.ms long 30000
      replica.selector.class string -
      replica.socket.receive.buffer.bytes int 65536
      replica.socket.timeout.ms int 30000
      replication.quota.window.num int 11 1..
      replication.quota.window.size.seconds int 1 1..
      request.timeout.ms int 30000
      server.max.startup.time.ms long 9223372036854775807 0.. internal
      socket.connection.setup.timeout.max.ms long 30000
      socket.connection.setup.timeout.ms long 10000
      unclean.leader.election.interval.ms long 300000 1.. internal
      unstable.api.versions.enable boolean false internal
      unstable.feature.versions.enable boolean false internal
    """,
    "Tiered storage: segments stay on the disk.": """
      remote.fetch.max.wait.ms int 500 1..
      remote.list.offsets.request.timeout.ms long 30000 1..
      remote.log.index.file.cache.total.size.bytes long 1073741824 1..
      remote.log.index.file.cache.ttl.ms long 900000 -1.. internal
      remote.log.manager.copier.thread.pool.size int 10 1..
      remote.log.manager.copy.max.bytes.per.second long 9223372036854775807 1..
      remote.log.manager.copy.quota.window.num int 11 1..
      remote.log.manager.copy.quota.window.size.seconds int 1 1..
      remote.log.manager.expiration.thread.pool.size int 10 1..
      remote.log.manager.fetch.max.bytes.per.second long 9223372036854775807 1..
      remote.log.manager.fetch.quota.window.num int 11 1..
      remote.log.manager.fetch.quota.window.size.seconds int 1 1..
      remote.log.manager.follower.thread.pool.size int 2 1..
      remote.log.manager.task.interval.ms long 30000 1..
      remote.log.manager.task.retry.backoff.max.ms long 30000 1.. internal
      remote.log.manager.task.retry.backoff.ms long 500 1.. internal
      remote.log.manager.task.retry.jitter double 0.2 0..0.5 internal
      remote.log.manager.thread.pool.size int 2 1..
      remote.log.metadata.custom.metadata.max.bytes int 128 0..
      remote.log.metadata.manager.class.name string org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager
      remote.log.metadata.manager.class.path string -
      remote.log.metadata.manager.impl.prefix string rlmm.config.
      remote.log.metadata.manager.listener.name string -
      remote.log.reader.max.pending.tasks int 100 1..
      remote.log.reader.threads int 10 1..
      remote.log.storage.manager.class.name string -
      remote.log.storage.manager.class.path string -
      remote.log.storage.manager.impl.prefix string rsm.config.
      remote.log.storage.system.enable boolean false
    """,  # noqa: E501 (the name of a class)
    "Share groups are not served.": """
      group.share.assignment.interval.ms int 1000 0..
      group.share.assignors list simple
      group.share.delivery.count.limit int 5 2..10
      group.share.heartbeat.interval.ms int 5000 1..
      group.share.initialize.retry.interval.ms int 30000 1.. internal
      group.share.max.assignment.interval.ms int 15000 0..
      group.share.max.delivery.count.limit int 10 5..25
      group.share.max.heartbeat.interval.ms int 15000 1..
      group.share.max.partition.max.record.locks int 4000 2000..10000
      group.share.max.record.lock.duration.ms int 60000 30000..3600000
      group.share.max.session.timeout.ms int 60000 1..
      group.share.max.share.sessions int 2000 1..
      group.share.max.size int 200 1..1000
      group.share.min.assignment.interval.ms int 0 0..
      group.share.min.delivery.count.limit int 2 2..5
      group.share.min.heartbeat.interval.ms int 5000 1..
      group.share.min.partition.max.record.locks int 100 100..2000
      group.share.min.record.lock.duration.ms int 15000 1000..30000
      group.share.min.session.timeout.ms int 45000 1..
      group.share.partition.max.record.locks int 2000 100..10000
      group.share.persister.class.name string org.apache.kafka.server.share.persister.DefaultStatePersister internal
      group.share.record.lock.duration.ms int 30000 1000..3600000
      group.share.session.timeout.ms int 45000 1..
      share.coordinator.append.linger.ms int -1 -1..
      share.coordinator.cached.buffer.max.bytes int 1048588 524288..
      share.coordinator.cold.partition.snapshot.interval.ms int 300000 1.. internal
      share.coordinator.load.buffer.size int 5242880 1..
      share.coordinator.snapshot.update.records.per.snapshot int 500 0..500
      share.coordinator.state.topic.compression.codec int 0
      share.coordinator.state.topic.min.isr short 2 1..
      share.coordinator.state.topic.num.partitions int 50 1..
      share.coordinator.state.topic.prune.interval.ms int 300000 1.. internal
      share.coordinator.state.topic.replication.factor short 3 1..
      share.coordinator.state.topic.segment.bytes int 104857600 1..
      share.coordinator.threads int 1 1..
      share.coordinator.write.timeout.ms int 5000 1..
      share.fetch.purgatory.purge.interval.requests int 1000
    """,
    "Streams groups (KIP-1071) are not served; Kafka Streams works with classic groups.": """
      group.streams.assignment.interval.ms int 1000 0..
      group.streams.heartbeat.interval.ms int 5000 1..
      group.streams.initial.rebalance.delay.ms int 3000 0..
      group.streams.max.assignment.interval.ms int 15000 0..
      group.streams.max.heartbeat.interval.ms int 15000 1..
      group.streams.max.session.timeout.ms int 60000 1..
      group.streams.max.size int 2147483647 1..
      group.streams.max.standby.replicas int 2 0..
      group.streams.min.assignment.interval.ms int 0 0..
      group.streams.min.heartbeat.interval.ms int 5000 1..
      group.streams.min.session.timeout.ms int 45000 1..
      group.streams.num.standby.replicas int 0 0..
      group.streams.session.timeout.ms int 45000 1..
    """,
    "Consumer groups have no settings of their own that would need bounds, and patterns follow the topics at once.": """
      group.consumer.max.assignment.interval.ms int 15000 0..
      group.consumer.max.heartbeat.interval.ms int 15000 1..
      group.consumer.max.session.timeout.ms int 60000 1..
      group.consumer.min.assignment.interval.ms int 0 0..
      group.consumer.min.heartbeat.interval.ms int 5000 1..
      group.consumer.min.session.timeout.ms int 45000 1..
      group.consumer.regex.refresh.interval.ms int 600000 10000.. internal
    """,
    "Apache Kafka's own metrics and telemetry.": """
      kafka.metrics.polling.interval.secs int 10 1..
      kafka.metrics.reporters list ''
      metric.reporters list org.apache.kafka.common.metrics.JmxReporter
      metrics.num.samples int 2 1..
      metrics.recording.level string INFO
      metrics.sample.window.ms long 30000 1..
      telemetry.max.bytes int 1048576 1..
    """,
    "Windows of quotas, which there are none.": """
      quota.window.num int 11 1..
      quota.window.size.seconds int 1 1..
    """,
    "Delegation tokens are not served.": """
      delegation.token.expiry.check.interval.ms long 3600000 1..
      delegation.token.expiry.time.ms long 86400000 1..
      delegation.token.max.lifetime.ms long 604800000 1..
    """,
    "The coordinators' own topics, their replication and their retries.": """
      add.partitions.to.txn.retry.backoff.max.ms int 100 0..
      add.partitions.to.txn.retry.backoff.ms int 20 1..
      offsets.commit.timeout.ms int 5000 1..
      offsets.load.buffer.size int 5242880 1..
      offsets.topic.compression.codec int 0
      offsets.topic.replication.factor short 3 1..
      producer.id.expiration.check.interval.ms int 600000 1.. internal
      transaction.abort.timed.out.transaction.cleanup.interval.ms int 10000 1..
      transaction.partition.verification.enable boolean true
      transaction.remove.expired.transaction.cleanup.interval.ms int 3600000 1..
      transaction.state.log.load.buffer.size int 5242880 1..
      transaction.state.log.min.isr int 2 1..
      transaction.state.log.replication.factor short 3 1..
      transaction.two.phase.commit.enable boolean false
    """,
    "Threads, buffers and pauses of Apache Kafka's server; here one loop does the work.": """
      background.threads int 10 1..
      connection.failed.authentication.delay.ms int 100 0..
      delete.records.purgatory.purge.interval.requests int 1
      fetch.purgatory.purge.interval.requests int 1000
      group.coordinator.append.linger.ms int -1 -1..
      group.coordinator.background.threads int 2 1..
      group.coordinator.cached.buffer.max.bytes int 1048588 524288..
      group.coordinator.rebalance.protocols list classic,consumer,streams
      group.coordinator.threads int 4 1..
      log.cleaner.io.buffer.load.factor double 0.9
      log.cleaner.io.buffer.size int 524288 0..
      log.cleaner.io.max.bytes.per.second double 1.7976931348623157E308
      log.cleaner.threads int 1 0..
      log.flush.start.offset.checkpoint.interval.ms int 60000 0..
      log.initial.task.delay.ms long 30000 0.. internal
      max.connection.creation.rate int 2147483647 0..
      max.connections.per.ip.overrides string ''
      max.request.partition.size.limit int 2000 1..
      num.io.threads int 8 1..
      num.network.threads int 3 1..
      num.recovery.threads.per.data.dir int 2 1..
      producer.purgatory.purge.interval.requests int 1000
      queued.max.requests int 500 1..
      socket.receive.buffer.bytes int 102400
      socket.send.buffer.bytes int 102400
    """,
}
"""What the keys of a table have in common → the table."""


def _key(row: str, documentation: str) -> ConfigKey:
    """The key of a table's row."""
    name, type_name, default, *more = row.split()
    kind = ConfigType[type_name.upper()]
    bounds = next((each for each in more if ".." in each), "..")
    low, _, high = bounds.partition("..")
    key = ConfigKey(
        name,
        kind,
        None,
        documentation,
        at_least=_number(low),
        at_most=_number(high),
        acts=False,
        internal="internal" in more,
    )
    return key if default == "-" else key._replace(default=key.parse("" if default == "''" else default))


def _number(text: str) -> float | None:
    if not text:
        return None
    return float(text) if "." in text else int(text)


KEPT_KEYS: dict[str, ConfigKey] = {
    key.name: key
    for key in (
        _key(row, documentation) for documentation, table in _TABLES.items() for row in table.strip().splitlines()
    )
}
"""Name → key, in the order of the table."""
