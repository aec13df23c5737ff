"""Broker keys: producers and transactions."""

from dataclasses import dataclass

from broker.config.keys import integer

_MEBI = 1024 * 1024
_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, kw_only=True, eq=False, repr=False, init=False)
class TransactionKeys:
    """How long producers and transactions are known, and how large they may be."""

    # producers and transactions
    producer_id_expiration_ms: int = integer(
        "producer.id.expiration.ms",
        _DAY_MS,
        at_least=1,
        documentation="How long a partition remembers the last batches of a producer that is silent.",
    )
    transactional_id_expiration_ms: int = integer(
        "transactional.id.expiration.ms",
        7 * _DAY_MS,
        at_least=1,
        documentation="How long a transactional id without transactions is remembered.",
    )
    transactional_id_max_count: int = integer(
        "transactional.id.max.count",
        100_000,
        at_least=1,
        ours=True,
        documentation="Transactional ids that are remembered; a further one is POLICY_VIOLATION.",
    )
    transactional_id_max_bytes: int = integer(
        "transactional.id.max.bytes",
        1024,
        at_least=1,
        at_most=32_767,
        ours=True,
        documentation="The UTF-8 of a transactional id; more is INVALID_REQUEST.",
    )
    transaction_max_timeout_ms: int = integer(
        "transaction.max.timeout.ms",
        900_000,
        at_least=1,
        documentation="The longest transaction a producer may ask for.",
    )
    transaction_state_log_num_partitions: int = integer(
        "transaction.state.log.num.partitions",
        1,
        at_least=1,
        kafka_default=50,
        documentation="Partitions of __transaction_state; all ids are kept in the first, others stay empty.",
    )
    transaction_state_log_segment_bytes: int = integer(
        "transaction.state.log.segment.bytes",
        100 * _MEBI,
        at_least=1,
        documentation="segment.bytes of __transaction_state.",
    )
