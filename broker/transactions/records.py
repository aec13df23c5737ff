"""
The records of __transaction_state, in Kafka's own formats, so that Kafka's tools can read them.

Big-endian. v1 is flexible: varints for lengths (+1, 0 is null), and tagged fields at each end.

    TransactionLogKey v0      version i16, transactional id string (i16 length)
    TransactionLogValue v1    version i16, producer id i64, producer epoch i16, timeout i32 (ms), status i8,
                              partitions, null when Empty: array of (topic, array of i32),
                              last update i64 (ms), start i64 (ms), tagged:
                              0 previous producer id i64, 1 next producer id i64, 2 client's transaction version i16
    status                    0 Empty, 1 Ongoing, 2 PrepareCommit, 3 PrepareAbort, 4 CompleteCommit, 5 CompleteAbort,
                              6 Dead, 7 PrepareEpochFence
v1 is written; v0 (fixed lengths, no tagged fields), which Kafka has written, is read too. No value forgets the id.

Source  Kafka 4.3's TransactionLogKey, TransactionLogValue
"""

from struct import Struct, error

from broker.errors import BrokerError
from broker.identifiers import TopicPartition
from broker.transactions.values import (
    NO_PRODUCER_ID,
    TRANSACTIONS_V1,
    Transaction,
    TransactionState,
)

_I16, _I32, _I64 = Struct(">h"), Struct(">i"), Struct(">q")
_HEAD = Struct(">hqhib")
_TIMES = Struct(">qq")
_KEY_VERSION, _FIXED, _FLEXIBLE = 0, 0, 1
_PREVIOUS_ID, _NEXT_ID, _CLIENT_VERSION = 0, 1, 2
_BY_STATUS = (
    TransactionState.EMPTY,
    TransactionState.ONGOING,
    TransactionState.PREPARE_COMMIT,
    TransactionState.PREPARE_ABORT,
    TransactionState.COMPLETE_COMMIT,
    TransactionState.COMPLETE_ABORT,
    TransactionState.DEAD,
    TransactionState.PREPARE_EPOCH_FENCE,
)


class UnreadableTransaction(BrokerError):
    """A key or value that is not what its version says."""


def encode_key(transactional_id: str) -> bytes:
    raw = transactional_id.encode()
    return _I16.pack(_KEY_VERSION) + _I16.pack(len(raw)) + raw


def decode_key(key: bytes) -> str:
    """The transactional id. Raises UnreadableTransaction."""
    try:
        version, length = _I16.unpack_from(key)[0], _I16.unpack_from(key, 2)[0]
        if version != _KEY_VERSION or length != len(key) - 4:
            raise UnreadableTransaction(f"a key of version {version}, id of {length} bytes, {len(key)} bytes long")
        return key[4:].decode()
    except (error, UnicodeDecodeError) as cause:
        raise UnreadableTransaction(f"key {key!r}: {cause}") from cause


def encode_value(transaction: Transaction) -> bytes:
    value = bytearray(
        _HEAD.pack(
            _FLEXIBLE,
            transaction.producer_id,
            transaction.producer_epoch,
            transaction.timeout_ms,
            _BY_STATUS.index(transaction.state),
        )
    )
    if transaction.state is TransactionState.EMPTY:
        value += _unsigned(0)
    else:
        by_topic: dict[str, list[int]] = {}
        for each in sorted(transaction.partitions):
            by_topic.setdefault(each.topic, []).append(each.partition)
        value += _unsigned(len(by_topic) + 1)
        for topic, partitions in by_topic.items():
            name = topic.encode()
            value += _unsigned(len(name) + 1) + name + _unsigned(len(partitions) + 1)
            value += b"".join(map(_I32.pack, partitions)) + _unsigned(0)
    value += _TIMES.pack(transaction.update_ms, transaction.start_ms)
    tagged: list[tuple[int, bytes]] = []
    if transaction.previous_producer_id != NO_PRODUCER_ID:
        tagged.append((_PREVIOUS_ID, _I64.pack(transaction.previous_producer_id)))
    if transaction.next_producer_id != NO_PRODUCER_ID:
        tagged.append((_NEXT_ID, _I64.pack(transaction.next_producer_id)))
    if transaction.client_version:
        tagged.append((_CLIENT_VERSION, _I16.pack(transaction.client_version)))
    value += _unsigned(len(tagged))
    for tag, content in tagged:
        value += _unsigned(tag) + _unsigned(len(content)) + content
    return bytes(value)


def decode_value(transactional_id: str, value: bytes) -> Transaction:
    """The reverse of encode_value(). Raises UnreadableTransaction."""
    try:
        return _decode(transactional_id, value)
    except (error, IndexError, UnicodeDecodeError) as cause:
        raise UnreadableTransaction(f"transactional id {transactional_id!r}: {cause}") from cause


def _decode(transactional_id: str, value: bytes) -> Transaction:
    version, producer_id, producer_epoch, timeout_ms, status = _HEAD.unpack_from(value)
    if version not in (_FIXED, _FLEXIBLE):
        raise UnreadableTransaction(f"transactional id {transactional_id!r}: value v{version}, v0 and v1 are read")
    reader = _Reader(value, _HEAD.size, flexible=version == _FLEXIBLE)
    partitions: set[TopicPartition] = set()
    for _ in range(reader.count()):
        topic = reader.text()
        partitions.update(TopicPartition(topic, reader.integer(_I32)) for _ in range(reader.count()))
        reader.skip_tagged()
    update_ms, start_ms = reader.integer(_I64), reader.integer(_I64)
    tagged = reader.tagged()
    return Transaction(
        transactional_id=transactional_id,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        timeout_ms=timeout_ms,
        state=_state(status),
        partitions=frozenset(partitions),
        start_ms=start_ms,
        update_ms=update_ms,
        previous_producer_id=_tag(tagged, _PREVIOUS_ID, _I64, NO_PRODUCER_ID),
        next_producer_id=_tag(tagged, _NEXT_ID, _I64, NO_PRODUCER_ID),
        client_version=_tag(tagged, _CLIENT_VERSION, _I16, TRANSACTIONS_V1),
    )


def _state(status: int) -> TransactionState:
    return _BY_STATUS[status]


def _tag(tagged: dict[int, bytes], tag: int, form: Struct, missing: int) -> int:
    return int(form.unpack(tagged[tag])[0]) if tag in tagged else missing


def _unsigned(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


class _Reader:
    """Reads a value from *position* on; struct.error and IndexError for what is too short."""

    __slots__ = ("_data", "_flexible", "_position")

    def __init__(self, data: bytes, position: int, *, flexible: bool) -> None:
        self._data = data
        self._position = position
        self._flexible = flexible

    def integer(self, form: Struct) -> int:
        number: int = form.unpack_from(self._data, self._position)[0]
        self._position += form.size
        return number

    def count(self) -> int:
        """The length of an array; null has no elements."""
        return max(self._unsigned() - 1 if self._flexible else self.integer(_I32), 0)

    def text(self) -> str:
        length = self._unsigned() - 1 if self._flexible else self.integer(_I16)
        return self._take(length).decode()

    def tagged(self) -> dict[int, bytes]:
        if not self._flexible:
            return {}
        return {self._unsigned(): self._take(self._unsigned()) for _ in range(self._unsigned())}

    def skip_tagged(self) -> None:
        self.tagged()

    def _take(self, length: int) -> bytes:
        taken = self._data[self._position : self._position + length]
        if len(taken) != length:
            raise UnreadableTransaction(f"{length} bytes announced at byte {self._position} of {len(self._data)}")
        self._position += length
        return taken

    def _unsigned(self) -> int:
        number = shift = 0
        while True:
            byte = self._data[self._position]
            self._position += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7
