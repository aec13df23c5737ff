"""What no client sends: broken frames, unknown APIs and versions."""

import struct
from collections.abc import Callable

from broker.wire.frame import encode_request
from broker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from tests.interop.differential.building import new_topic
from tests.interop.differential.runner import frame
from tests.interop.differential.scenario import Known, Raw, Scenario


def header(api: int, version: int, body: bytes = b"", client_id: bytes | None = b"raw") -> Callable[[Known], bytes]:
    """A frame with an inflexible header."""
    length = struct.pack(">h", -1 if client_id is None else len(client_id))
    return lambda known: frame(struct.pack(">hhi", api, version, 77) + length + (client_id or b"") + body)


def metadata(version: int, alter: Callable[[bytes], bytes]) -> Callable[[Known], bytes]:
    def build(known: Known) -> bytes:
        request = MetadataRequest(topics=[MetadataRequestTopic(name=known.name("t"))], allow_auto_topic_creation=False)
        return frame(alter(encode_request(request, version, 77, "raw")[4:]))

    return build


def without(count: int) -> Callable[[bytes], bytes]:
    return lambda body: body[:-count]


def tagged(tags: bytes) -> Callable[[bytes], bytes]:
    """Other tagged fields in the place of none."""
    return lambda body: body[:-1] + tags


SCENARIOS = [
    Scenario(
        "frames",
        [
            *new_topic("t"),
            Raw("a negative size", lambda known: struct.pack(">i", -1)),
            Raw("a size above the limit", lambda known: struct.pack(">i", 2**31 - 1)),
            Raw("no bytes", lambda known: frame(b"")),
            Raw("half a header", lambda known: frame(b"\x00\x03\x00")),
            Raw("text", lambda known: b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            Raw("an unknown API", header(999, 0)),
            Raw("a negative API", header(-1, 0)),
            Raw("an API of controllers", header(52, 0)),
            Raw("ApiVersions of a future version", header(18, 99)),
            Raw("ApiVersions of a negative version", header(18, -1)),
            Raw("ApiVersions with bytes behind it", header(18, 0, b"\x00\x00\x00")),
            Raw("ApiVersions v3 without a body", header(18, 3)),
            Raw("Metadata of a future version", header(3, 99)),
            Raw("Metadata of a negative version", header(3, -1)),
            Raw("Produce v2", header(0, 2, b"\x00" * 20)),
            Raw("Fetch v3", header(1, 3, b"\x00" * 20)),
            Raw("Metadata without a client id", header(3, 1, struct.pack(">i", 0), client_id=None)),
            Raw("Metadata without a body", header(3, 1)),
            Raw("Metadata with 2^31-1 topics", header(3, 1, struct.pack(">i", 2**31 - 1))),
            Raw("Metadata with -2 topics", header(3, 1, struct.pack(">i", -2))),
            Raw("Metadata with a name of -2 bytes", header(3, 1, struct.pack(">ih", 1, -2))),
            Raw("Metadata with a name of no bytes", header(3, 1, struct.pack(">ih", 1, -1))),
            Raw("Metadata with a name beyond the frame", header(3, 1, struct.pack(">ih", 1, 900) + b"x")),
            Raw("Metadata with a name that is not UTF-8", header(3, 1, struct.pack(">ih", 1, 2) + b"\xff\xfe")),
            *(
                Raw(f"Metadata v{version} cut by {cut} bytes", metadata(version, without(cut)))
                for version in (1, 9, 12)
                for cut in (1, 3, 8)
            ),
            *(
                Raw(f"Metadata v{version} with bytes behind it", metadata(version, lambda body: body + b"\x00\x00\x00"))
                for version in (1, 9, 12)
            ),
            *(
                Raw(f"Metadata v9 with {what}", metadata(9, tagged(tags)))
                for what, tags in (
                    ("an unknown tagged field", b"\x01\x63\x02hi"),
                    ("two unknown tagged fields", b"\x02\x63\x02hi\x64\x00"),
                    ("tagged fields out of order", b"\x02\x64\x00\x63\x02hi"),
                    ("a tagged field twice", b"\x02\x63\x00\x63\x00"),
                    ("a tagged field beyond the frame", b"\x01\x63\x7f"),
                    ("a number of tagged fields of six bytes", b"\xff\xff\xff\xff\xff\x01"),
                )
            ),
            Raw(
                "ApiVersions v3 with a tagged field in its header",
                lambda known: frame(struct.pack(">hhih", 18, 3, 77, 3) + b"raw\x01\x05\x01x\x05test\x02" + b"1\x00"),
            ),
        ],
    )
]
