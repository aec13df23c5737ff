"""
Request frames that real clients have sent, one file a client: the frames as they were on the wire, one after another.

`python -m tests.broker.wire.captures.record` makes them anew.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

DIRECTORY = Path(__file__).parent
SUFFIX = ".frames"


def captured() -> dict[str, list[bytes]]:
    """Client → its frames, without the size in front."""
    return {path.stem: list(split_frames(path.read_bytes())) for path in sorted(DIRECTORY.glob(f"*{SUFFIX}"))}


def split_frames(stream: bytes) -> Iterator[bytes]:
    """The frames that fill *stream*; half of one at its end is left out."""
    position = 0
    while position + 4 <= len(stream):
        (size,) = struct.unpack_from(">i", stream, position)
        if position + 4 + size > len(stream):
            return
        yield stream[position + 4 : position + 4 + size]
        position += 4 + size


def join_frames(frames: list[bytes]) -> bytes:
    return b"".join(struct.pack(">i", len(frame)) + frame for frame in frames)
