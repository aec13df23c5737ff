"""The version table of the protocol page: what other people's clients need to find."""

from __future__ import annotations

import pytest

from broker.errors import UnknownApiKey, UnsupportedVersion
from broker.wire.apis import APIS, Api, ApiKey, advertised, api_of
from broker.wire.codec import decode, encode
from broker.wire.messages import request_class, response_class

# key(s): versions of the Java client, and the lowest and highest of which at least one client needs one at or under and
# one at or over (librdkafka, kafkajs, aiokafka, kafka-python, sarama, @platformatic/kafka)
TABLE: list[tuple[tuple[int, ...], tuple[int, int], tuple[int, int]]] = [
    ((0,), (3, 13), (7, 7)),
    ((1,), (4, 18), (11, 12)),
    ((2,), (1, 11), (3, 5)),
    ((3,), (0, 13), (5, 9)),
    ((8,), (2, 10), (3, 8)),
    ((9,), (1, 10), (3, 8)),
    ((10,), (0, 6), (1, 4)),
    ((11,), (0, 9), (5, 6)),
    ((12,), (0, 4), (1, 4)),
    ((13,), (0, 5), (1, 4)),
    ((14,), (0, 5), (3, 4)),
    ((15,), (0, 6), (2, 5)),
    ((16,), (0, 5), (1, 4)),
    ((17,), (0, 1), (1, 1)),
    ((18,), (0, 4), (2, 3)),
    ((19,), (2, 7), (3, 7)),
    ((20,), (1, 6), (1, 6)),
    ((21,), (0, 2), (1, 2)),
    ((22,), (0, 5), (0, 3)),
    ((23,), (2, 4), (2, 4)),
    ((24,), (0, 5), (0, 3)),
    ((25,), (0, 4), (0, 1)),
    ((26,), (0, 5), (0, 3)),
    ((28,), (0, 5), (0, 3)),
    ((29, 30, 31), (1, 3), (1, 2)),
    ((32,), (1, 4), (1, 2)),
    ((33,), (0, 2), (1, 2)),
    ((35,), (1, 5), (2, 4)),
    ((36,), (0, 2), (1, 2)),
    ((37,), (0, 3), (1, 1)),
    ((42,), (0, 2), (1, 2)),
    ((43,), (0, 2), (0, 2)),
    ((44,), (0, 1), (1, 1)),
    ((47,), (0, 0), (0, 0)),
    ((48, 49), (0, 1), (0, 1)),
    ((50, 51), (0, 0), (0, 0)),
    ((60,), (0, 2), (0, 1)),
    ((61, 65), (0, 0), (0, 0)),
    ((66,), (0, 2), (0, 0)),
    ((68,), (0, 1), (1, 1)),
    ((69,), (0, 1), (0, 0)),
    ((74,), (0, 1), (0, 0)),
    ((75,), (0, 0), (0, 0)),
]
ROWS = [(key, java, covered) for keys, java, covered in TABLE for key in keys]


@pytest.mark.parametrize(("key", "java", "covered"), ROWS, ids=lambda value: str(value))
def test_every_version_of_the_table_encodes_and_decodes(
    key: int, java: tuple[int, int], covered: tuple[int, int]
) -> None:
    """An API or a version that is missing fails; so does a range that leaves a client without a common version."""
    api = api_of(key)
    assert api.lowest <= min(java[0], covered[0])
    assert api.highest >= max(java[1], covered[1])
    for version in range(java[0], java[1] + 1):
        for message in (request_class(api.key)(), response_class(api.key)()):
            assert decode(type(message), version, encode(message, version)) == message


def test_no_api_is_declared_beside_the_table() -> None:
    """The table is complete."""
    assert {key for key, _, _ in ROWS} == set(APIS)


def test_only_what_is_served_is_advertised() -> None:
    """Declaring an API does not serve it."""
    rows = list(advertised([ApiKey.METADATA, ApiKey.FETCH]))
    assert rows == [(ApiKey.FETCH, 4, 18), (ApiKey.METADATA, 0, 13)]


def test_produce_is_advertised_from_version_0() -> None:
    """librdkafka before 2.11.1 drops compression silently when Produce v0 is not advertised."""
    assert list(advertised([ApiKey.PRODUCE])) == [(ApiKey.PRODUCE, 0, 13)]


def test_join_group_keeps_version_0() -> None:
    """librdkafka's feature detection asks for JoinGroup v0."""
    assert APIS[ApiKey.JOIN_GROUP].lowest == 0


def test_offset_for_leader_epoch_keeps_version_2() -> None:
    """librdkafka speaks no other version of OffsetForLeaderEpoch."""
    assert APIS[ApiKey.OFFSET_FOR_LEADER_EPOCH].lowest == 2


def test_topic_ids_are_carried_where_clients_rely_on_them() -> None:
    """The versions that oblige real topic ids are declared."""
    highest = {api.key: api.highest for api in APIS.values()}
    assert highest[ApiKey.FETCH] >= 13
    assert highest[ApiKey.PRODUCE] >= 13
    assert highest[ApiKey.OFFSET_COMMIT] >= 10
    assert highest[ApiKey.OFFSET_FETCH] >= 10
    assert highest[ApiKey.METADATA] >= 10


def test_telemetry_is_not_declared() -> None:
    """Clients send telemetry as soon as keys 71 and 72 are advertised."""
    for key in (71, 72):
        with pytest.raises(UnknownApiKey, match=f"unknown API key {key}"):
            api_of(key)


def test_an_undeclared_version_is_refused_with_the_range() -> None:
    """The error names what would have been right."""
    with pytest.raises(UnsupportedVersion, match="Produce v2 is not supported, v3 to v13 are"):
        encode(request_class(ApiKey.PRODUCE)(), 2)


def test_header_versions_follow_the_flexible_version() -> None:
    """A flexible version has tagged fields in its headers, but for the answer to ApiVersions."""
    fetch, versions = APIS[ApiKey.FETCH], APIS[ApiKey.API_VERSIONS]
    assert [headers(fetch, version) for version in (11, 12)] == [(1, 0), (2, 1)]
    assert [headers(versions, version) for version in (2, 3, 4)] == [(1, 0), (2, 0), (2, 0)]
    assert headers(APIS[ApiKey.SASL_HANDSHAKE], 1) == (1, 0)


def headers(api: Api, version: int) -> tuple[int, int]:
    return api.request_header_version(version), api.response_header_version(version)
