"""
Which transactional ids an operator asks for.

A pattern is RE2's, as Kafka's is, and has to match the whole id: it takes no longer than the id is long, whoever
thought it up.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import Protocol, cast

from broker.errors import ErrorCode, KafkaError
from broker.transactions.values import ListFilter, Transaction, TransactionState


class _Pattern(Protocol):
    def fullmatch(self, text: str) -> object | None: ...


class _Options(Protocol):
    log_errors: bool


class _Re2(Protocol):
    error: type[Exception]

    def Options(self) -> _Options: ...  # noqa: N802 - the package's own name
    def compile(self, pattern: str, options: _Options) -> _Pattern: ...


def listed(transactions: Iterable[Transaction], wanted: ListFilter, now_ms: int) -> list[Transaction]:
    """Those of *transactions* that pass every filter. Raises KafkaError INVALID_REGULAR_EXPRESSION."""
    pattern = _compile(wanted.pattern) if wanted.pattern else None
    return [
        transaction
        for transaction in transactions
        if (not wanted.states or transaction.state in wanted.states)
        and (not wanted.producer_ids or transaction.producer_id in wanted.producer_ids)
        and (wanted.duration_ms < 0 or _open_for_ms(transaction, now_ms) > wanted.duration_ms)
        and (pattern is None or pattern.fullmatch(transaction.transactional_id) is not None)
    ]


def _open_for_ms(transaction: Transaction, now_ms: int) -> int:
    in_time = transaction.state.is_open or transaction.state is TransactionState.PREPARE_EPOCH_FENCE
    return now_ms - transaction.start_ms if in_time else -1


def _compile(pattern: str) -> _Pattern:
    # Not at the top: it costs a start 20 ms, and nearly nobody lists by pattern.
    re2 = cast("_Re2", cast("object", import_module("re2")))
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        text = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise KafkaError(ErrorCode.INVALID_REGULAR_EXPRESSION, f"pattern {pattern!r}: {text}") from error
