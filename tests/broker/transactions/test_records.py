"""The records of __transaction_state, in Kafka's formats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.identifiers import TopicPartition
from broker.transactions import Transaction, TransactionState
from broker.transactions.records import UnreadableTransaction, decode_key, decode_value, encode_key, encode_value

I64 = st.integers(-1, 2**63 - 1)
TRANSACTIONS = st.builds(
    Transaction,
    transactional_id=st.just("tx"),
    producer_id=I64,
    producer_epoch=st.integers(-1, 2**15 - 1),
    last_producer_epoch=st.just(-1),
    previous_producer_id=I64,
    next_producer_id=I64,
    timeout_ms=st.integers(0, 2**31 - 1),
    state=st.sampled_from([state for state in TransactionState if state is not TransactionState.EMPTY]),
    partitions=st.frozensets(
        st.builds(TopicPartition, st.text(min_size=1, max_size=200), st.integers(0, 2**31 - 1)), max_size=20
    ),
    start_ms=I64,
    update_ms=I64,
    client_version=st.integers(1, 2),
)


@given(TRANSACTIONS)
def test_a_value_is_read_back(transaction: Transaction) -> None:
    """But for the last epoch, which is not stored."""
    assert decode_value("tx", encode_value(transaction)) == transaction


@given(TRANSACTIONS, st.data())
def test_a_cut_value_is_refused(transaction: Transaction, data: st.DataObject) -> None:
    """At every byte."""
    value = encode_value(transaction)
    cut = data.draw(st.integers(0, len(value) - 1))
    with pytest.raises(UnreadableTransaction):
        decode_value("tx", value[:cut])


def test_a_value_is_kafkas_by_the_byte() -> None:
    """v1: fixed fields, a compact array of topics, times, tagged fields."""
    value = encode_value(
        Transaction(
            transactional_id="tx",
            producer_id=7,
            producer_epoch=3,
            previous_producer_id=6,
            timeout_ms=60_000,
            state=TransactionState.PREPARE_COMMIT,
            partitions=frozenset({TopicPartition("t", 1), TopicPartition("t", 0)}),
            start_ms=1,
            update_ms=2,
            client_version=2,
        )
    )
    assert value.hex(" ") == (
        "00 01 00 00 00 00 00 00 00 07 00 03 00 00 ea 60 02 "
        "02 02 74 03 00 00 00 00 00 00 00 01 00 "
        "00 00 00 00 00 00 00 02 00 00 00 00 00 00 00 01 "
        "02 00 08 00 00 00 00 00 00 00 06 02 02 00 02"
    )


def test_an_older_value_is_read() -> None:
    """v0, with fixed lengths and no tagged fields."""
    value = bytes.fromhex(
        "0000 0000000000000007 0003 0000ea60 01"
        "00000001 0001 74 00000002 00000000 00000001"
        "0000000000000002 0000000000000001"
    )
    found = decode_value("tx", value)
    assert (found.producer_id, found.producer_epoch, found.state) == (7, 3, TransactionState.ONGOING)
    assert found.partitions == {TopicPartition("t", 0), TopicPartition("t", 1)}
    assert (found.update_ms, found.start_ms) == (2, 1)


def test_an_empty_id_has_no_partitions_at_all() -> None:
    """Null, as Kafka writes it."""
    empty = Transaction(transactional_id="tx", producer_id=7, producer_epoch=0, timeout_ms=1)
    assert encode_value(empty)[17] == 0
    assert decode_value("tx", encode_value(empty)) == empty


def test_a_key_names_the_id() -> None:
    """Version 0 and the id; other versions are refused."""
    assert encode_key("tø").hex(" ") == "00 00 00 03 74 c3 b8"
    assert decode_key(encode_key("tø")) == "tø"
    for key in (b"", b"\x00\x01\x00\x00", b"\x00\x00\x00\x05ab", b"\x00\x00\x00\x01\xff"):
        with pytest.raises(UnreadableTransaction):
            decode_key(key)
