"""
The differences that are meant, each with its reason.

The page docs/explanation/differences-from-apache-kafka.md has every reason of this list; a test holds both together. A
difference that no longer shows is taken off here: a test says so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.interop.differential.runner import Finding


def _always(_: Finding) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Allowed:
    """
    Differences of an API (a pattern) in a field's path (a pattern, without indexes), where *when* is satisfied.

    *reason* is the sentence that the page of differences has.
    """

    reason: str
    api: str
    path: str
    when: Callable[[Finding], bool] = _always

    def excuses(self, finding: Finding) -> bool:
        return (
            fnmatchcase(finding.api, self.api)
            and fnmatchcase(finding.difference.path, self.path)
            and self.when(finding)
        )


def _place(part: str) -> Callable[[Finding], bool]:
    return lambda finding: part in finding.difference.place


def _values(ours: object, theirs: object) -> Callable[[Finding], bool]:
    return lambda finding: (finding.difference.ours, finding.difference.theirs) == (ours, theirs)


def _asked(part: str) -> Callable[[Finding], bool]:
    return lambda finding: part in repr(finding.request)


def _ours_is_missing(finding: Finding) -> bool:
    return finding.difference.ours is None


def _both(*conditions: Callable[[Finding], bool]) -> Callable[[Finding], bool]:
    return lambda finding: all(condition(finding) for condition in conditions)


def _to(label: str) -> Callable[[Finding], bool]:
    """For a topic that a scenario keeps for what is answered differently: later offsets in it differ, too."""
    return lambda finding: f"-{label}'" in repr(finding.request)


_NO_ELECTIONS = "There is one broker and nothing to replicate."
_MORE_STRICT = "Batches that no client makes are refused, where Apache Kafka takes some of them"

ALLOWED: tuple[Allowed, ...] = (
    # Which APIs there are
    Allowed(
        "APIs between brokers and controllers, of delegation tokens, share groups, streams groups and telemetry are "
        "neither served nor advertised.",
        "ApiVersions",
        "api_keys[[]]",
        _ours_is_missing,
    ),
    Allowed(
        "Of Kafka's features, group.version and transaction.version are named; the rest belongs to clusters.",
        "ApiVersions",
        "*_features*",
    ),
    # Settings
    Allowed(
        "flush.before.ack is a topic key of our own.",
        "*",
        "*.configs[[]]",
        _place("[flush.before.ack]"),
    ),
    Allowed(
        "min.insync.replicas is a plain default; Apache Kafka sets it for the whole cluster when it is formatted.",
        "*",
        "*.configs.*",
        _place("[min.insync.replicas]"),
    ),
    Allowed(
        "The synonyms of a topic's setting name the broker key that gives its default, also where that is in hours.",
        "DescribeConfigs",
        "results.configs.synonyms[[]]",
        lambda finding: finding.difference.theirs is None,
    ),
    Allowed(
        "Settings of the broker are given when it starts, and cannot be changed through the protocol.",
        "DescribeConfigs",
        "results.configs.read_only",
        _both(_place("results[1]"), _values(True, False)),
    ),
    Allowed(
        "There are no loggers whose levels could be set.",
        "ListConfigResources",
        "config_resources*",
        lambda finding: (
            "resource_type=8" in repr(finding.difference.theirs)
            or finding.difference.theirs == 8
            or "resource_type=4" in repr(finding.difference.theirs)
        ),
    ),
    Allowed(
        "An operation on a setting that has no meaning is INVALID_REQUEST, where Apache Kafka fails with UNKNOWN.",
        "IncrementalAlterConfigs",
        "responses.error_code",
        _values(42, -1),
    ),
    Allowed(
        "Blanks around a setting's value are taken off; Apache Kafka answers them back.",
        "CreateTopics",
        "topics.configs.value",
        _values("1000", " 1000 "),
    ),
    # The broker's own topics
    Allowed(
        "The broker's own topics take batches of 32 MiB, whatever message.max.bytes says.",
        "DescribeConfigs",
        "results.configs.*",
        _place("results[__consumer_offsets].configs[max.message.bytes]"),
    ),
    Allowed(
        "Committed offsets and transactions are kept in Kafka's record formats, but not in the same number of bytes.",
        "DescribeLogDirs",
        "results.topics.partitions.partition_size",
        _place("topics[__"),
    ),
    # Topics
    Allowed(
        "CreateTopics with validate_only answers no topic id; Apache Kafka makes one up.",
        "CreateTopics",
        "topics.topic_id",
        _asked("validate_only=True"),
    ),
    Allowed(
        "A topic that Metadata creates is there in that answer; Apache Kafka says UNKNOWN_TOPIC_OR_PARTITION first.",
        "Metadata",
        "topics*",
        lambda finding: "-made" in finding.difference.place or "-made" in repr(finding.request),
    ),
    Allowed(
        "Metadata for a topic with neither name nor id is INVALID_TOPIC_EXCEPTION for it; Apache Kafka refuses the "
        "whole request with UNKNOWN.",
        "Metadata",
        "*",
        _asked("MetadataRequestTopic(topic_id=UUID('00000000-0000-0000-0000-000000000000'), name=None)"),
    ),
    Allowed(
        "FindCoordinator has no words where there is no error; Apache Kafka up to version 3 says NONE.",
        "FindCoordinator",
        "error_message",
        _values(None, "NONE"),
    ),
    # Produce
    Allowed(
        "Records in a batch are not opened (but on compacted topics), so no answer names single records at fault.",
        "Produce",
        "responses.partition_responses.record_errors[[]]",
        _ours_is_missing,
    ),
    Allowed(
        "A compression code that means nothing is UNSUPPORTED_COMPRESSION_TYPE, where Apache Kafka fails with UNKNOWN.",
        "Produce",
        "responses.partition_responses.error_code",
        _values(76, -1),
    ),
    Allowed(_MORE_STRICT, "*", "responses.*", _to("odd")),
    Allowed(
        "A duplicate's answer has an append time only where the log sets it; Apache Kafka answers the producer's.",
        "Produce",
        "responses.partition_responses.log_append_time_ms",
        lambda finding: finding.scenario == "idempotence",
    ),
    # Fetch
    Allowed(
        "A fetch that calls itself a follower's is answered as a consumer's. " + _NO_ELECTIONS,
        "Fetch",
        "responses.*",
        _asked("replica_id=2"),
    ),
    Allowed(
        "An isolation level that has no meaning reads everything, where Apache Kafka fails with UNKNOWN.",
        "Fetch",
        "*",
        _asked("isolation_level=2"),
    ),
    # Groups
    Allowed(
        "A static member that returns with another subscription starts a rebalance; Apache Kafka keeps the assignment.",
        "JoinGroup",
        "*",
        lambda finding: finding.difference.path in ("generation_id", "skip_assignment") and _to("s")(finding),
    ),
    Allowed(
        "A JoinGroup or SyncGroup that is repeated while its first is still waiting ends the first with "
        "REBALANCE_IN_PROGRESS; Apache Kafka never answers the first.",
        "*Group",
        "outcome",
        lambda finding: finding.difference.theirs == "no answer" and "error_code=27" in repr(finding.difference.ours),
    ),
    # Transactions
    Allowed(
        "A filter by duration leaves out transactional ids without a transaction; Apache Kafka counts them as endless.",
        "ListTransactions",
        "transaction_states[[]]",
        _both(_ours_is_missing, _asked("duration_filter=3600000")),
    ),
    # Frames
    Allowed(
        "An array of fewer than -1 items and text that is not UTF-8 close the connection.",
        "raw",
        "outcome",
        lambda finding: finding.request in ("Metadata with -2 topics", "Metadata with a name that is not UTF-8"),
    ),
)


def excuse(finding: Finding) -> Allowed | None:
    """The entry of the list that allows *finding*."""
    return next((allowed for allowed in ALLOWED if allowed.excuses(finding)), None)
