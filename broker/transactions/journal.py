"""
What is durable of transactions: first the log, then memory.

Rewriting   The log is read whole at start, so it must not grow much beyond what it says. When it has several times as
            many records as there are transactional ids, all of these are appended again, and what lies before them is
            discarded. A crash in between leaves both, and the newest value of every id is the same in both.
"""

from collections.abc import Iterator, Mapping

from broker.clock import Clock
from broker.errors import KafkaError
from broker.records import NewRecord
from broker.transactions.log import TransactionLog
from broker.transactions.records import UnreadableTransaction, decode_key, decode_value, encode_key, encode_value
from broker.transactions.values import Transaction

_REWRITE_FACTOR = 4
_REWRITE_SLACK = 10_000
_REWRITE_BATCH = 1_000


class Journal:
    """The log of one coordinator, and the newest state of every transactional id in it."""

    __slots__ = ("_clock", "_log", "_rewrite_slack", "_rewrite_slack_now", "_transactions")

    def __init__(self, log: TransactionLog, clock: Clock, *, rewrite_slack: int = _REWRITE_SLACK) -> None:
        self._log = log
        self._clock = clock
        self._rewrite_slack = rewrite_slack
        self._rewrite_slack_now = rewrite_slack
        self._transactions: dict[str, Transaction] = {}

    def __len__(self) -> int:
        return len(self._transactions)

    def __iter__(self) -> Iterator[Transaction]:
        return iter(tuple(self._transactions.values()))

    @property
    def transactions(self) -> Mapping[str, Transaction]:
        return self._transactions

    def load(self) -> int:
        """Reads the log from its start; how many records could not be read, and were passed over."""
        unreadable = 0
        for record in self._log.replay():
            if record.key is None:
                continue
            try:
                transactional_id = decode_key(record.key)
                if record.value is None:
                    self._transactions.pop(transactional_id, None)
                else:
                    self._transactions[transactional_id] = decode_value(transactional_id, record.value)
            except UnreadableTransaction:
                unreadable += 1
        self._rewrite_if_long()
        return unreadable

    def write(self, transaction: Transaction) -> None:
        """Makes *transaction* durable, and true. Raises KafkaError; nothing has changed then."""
        self._log.append([_record(transaction)], self._clock.now_ms())
        self._transactions[transaction.transactional_id] = transaction
        self._rewrite_if_long()

    def forget(self, transactional_id: str) -> None:
        """Takes an id away. Raises KafkaError; nothing has changed then."""
        self._log.append([NewRecord(encode_key(transactional_id), None)], self._clock.now_ms())
        del self._transactions[transactional_id]

    def _rewrite_if_long(self) -> None:
        length = self._log.end_offset - self._log.start_offset
        if length <= _REWRITE_FACTOR * len(self._transactions) + self._rewrite_slack_now:
            return
        try:
            self._rewrite()
        except KafkaError:
            # The disk is full, perhaps. Nothing is lost; the next try comes when the log has grown by as much again.
            self._rewrite_slack_now = length + self._rewrite_slack
        else:
            self._rewrite_slack_now = self._rewrite_slack

    def _rewrite(self) -> None:
        begin = self._log.end_offset
        records = [_record(transaction) for transaction in self._transactions.values()]
        for start in range(0, len(records), _REWRITE_BATCH):
            self._log.append(records[start : start + _REWRITE_BATCH], self._clock.now_ms())
        self._log.discard_before(begin)


def _record(transaction: Transaction) -> NewRecord:
    return NewRecord(encode_key(transaction.transactional_id), encode_value(transaction))
