"""
Opens and closes the compressed part of a batch.

The broker passes batches through unopened; only compacted topics, timestamp look-ups inside a batch and tools come
here. gzip is in Python's standard library; snappy, lz4 and zstd come with the optional package `cramjam`, imported
when first needed.

Snappy data is either one raw block or snappy-java's frame (what the Java client writes):
    0  8 bytes  82 53 4E 41 50 50 59 00   magic
    8  i32      version, i32 lowest compatible version (both 1)
   16  blocks   i32 length, raw snappy block
"""

import importlib
import zlib
from enum import IntEnum
from struct import Struct
from typing import Protocol, cast

from broker.errors import BrokerError

DECOMPRESSED_BYTES_MAX = 256 * 1024 * 1024

_SNAPPY_JAVA_MAGIC = b"\x82SNAPPY\x00"
_SNAPPY_JAVA_HEADER = _SNAPPY_JAVA_MAGIC + b"\x00\x00\x00\x01\x00\x00\x00\x01"
_SNAPPY_JAVA_BLOCK = 32 * 1024
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_FIRST_GUESS = 64 * 1024
_I32 = Struct(">i")


class Compression(IntEnum):
    """What a batch's attributes say in their lowest three bits."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


class CompressionUnavailable(BrokerError):
    """A codec whose optional package is not installed."""

    def __init__(self, compression: Compression) -> None:
        super().__init__(
            f"cannot open a batch compressed with {compression.name.lower()}: the package cramjam is not installed"
            " (pip install cramjam), or let the producer use gzip or none"
        )
        self.compression = compression


class UndecodableRecords(BrokerError):
    """Compressed bytes that do not open, or open to more than the limit."""


class _Buffer(Protocol):
    def __bytes__(self) -> bytes: ...


class _Codec(Protocol):
    def compress(self, data: bytes) -> _Buffer: ...
    def decompress_into(self, data: bytes, output: bytearray) -> int: ...


class _SnappyCodec(Protocol):
    def compress_raw(self, data: bytes) -> _Buffer: ...
    def decompress_raw_len(self, data: bytes) -> int: ...
    def decompress_raw(self, data: bytes) -> _Buffer: ...


class _Cramjam(Protocol):
    lz4: _Codec
    zstd: _Codec
    snappy: _SnappyCodec


def _cramjam(compression: Compression) -> _Cramjam:
    try:
        return cast("_Cramjam", importlib.import_module("cramjam"))
    except ImportError as error:
        raise CompressionUnavailable(compression) from error


def compress(compression: Compression, data: bytes) -> bytes:
    """*data* in the form that *compression* stands for. Raises CompressionUnavailable."""
    match compression:
        case Compression.NONE:
            return data
        case Compression.GZIP:
            deflater = zlib.compressobj(wbits=_GZIP_WINDOW)
            return deflater.compress(data) + deflater.flush()
        case Compression.SNAPPY:
            snappy = _cramjam(compression).snappy
            framed = bytearray(_SNAPPY_JAVA_HEADER)
            for start in range(0, len(data), _SNAPPY_JAVA_BLOCK):
                block = bytes(snappy.compress_raw(data[start : start + _SNAPPY_JAVA_BLOCK]))
                framed += _I32.pack(len(block)) + block
            return bytes(framed)
        case Compression.LZ4:
            return bytes(_cramjam(compression).lz4.compress(data))
        case Compression.ZSTD:
            return bytes(_cramjam(compression).zstd.compress(data))


def decompress(compression: Compression, data: memoryview, bytes_max: int = DECOMPRESSED_BYTES_MAX) -> memoryview:
    """
    The records inside *data*, never more than *bytes_max*: a few kilobytes of a stranger's can open to gigabytes.

    Raises UndecodableRecords, CompressionUnavailable.
    """
    match compression:
        case Compression.NONE:
            return data
        case Compression.GZIP:
            return memoryview(_gunzip(data, bytes_max))
        case Compression.SNAPPY:
            return memoryview(_unsnappy(_cramjam(compression).snappy, bytes(data), bytes_max))
        case Compression.LZ4:
            return _open_bounded(_cramjam(compression).lz4, "lz4", bytes(data), bytes_max)
        case Compression.ZSTD:
            return _open_bounded(_cramjam(compression).zstd, "zstd", bytes(data), bytes_max)


def _gunzip(data: memoryview, bytes_max: int) -> bytes:
    inflater = zlib.decompressobj(wbits=_GZIP_WINDOW)
    try:
        opened = inflater.decompress(data, bytes_max + 1)
    except zlib.error as error:
        raise UndecodableRecords(f"gzip: {error}") from error
    if len(opened) > bytes_max:
        raise _too_large("gzip", bytes_max)
    if not inflater.eof:
        raise UndecodableRecords(f"gzip: ends early after {len(data)} bytes")
    return opened


def _unsnappy(snappy: _SnappyCodec, data: bytes, bytes_max: int) -> bytes:
    if not data.startswith(_SNAPPY_JAVA_MAGIC):
        return _unsnappy_block(snappy, data, 0, bytes_max)
    opened = bytearray()
    position = len(_SNAPPY_JAVA_HEADER)
    while position < len(data):
        if len(data) - position < _I32.size:
            raise UndecodableRecords(f"snappy: a block length is cut off at byte {position}")
        size = int(_I32.unpack_from(data, position)[0])
        position += _I32.size
        if not 0 <= size <= len(data) - position:
            raise UndecodableRecords(f"snappy: a block of {size} bytes where {len(data) - position} are left")
        opened += _unsnappy_block(snappy, data[position : position + size], len(opened), bytes_max)
        position += size
    return bytes(opened)


def _unsnappy_block(snappy: _SnappyCodec, block: bytes, opened_before: int, bytes_max: int) -> bytes:
    try:
        if opened_before + snappy.decompress_raw_len(block) > bytes_max:
            raise _too_large("snappy", bytes_max)
        return bytes(snappy.decompress_raw(block))
    except UndecodableRecords:
        raise
    except Exception as error:
        # cramjam's own exception class cannot be named here without importing an optional package.
        raise UndecodableRecords(f"snappy: {error}") from error


def _open_bounded(codec: _Codec, name: str, data: bytes, bytes_max: int) -> memoryview:
    capacity = min(max(_FIRST_GUESS, 4 * len(data)), bytes_max)
    while True:
        output = bytearray(capacity)
        try:
            size = codec.decompress_into(data, output)
        except Exception as error:
            # The codec has one exception for a full output and for garbage, and tells them apart in its text only.
            if "write whole buffer" not in str(error):
                raise UndecodableRecords(f"{name}: {error}") from error
            if capacity >= bytes_max:
                raise _too_large(name, bytes_max) from error
            capacity = min(capacity * 8, bytes_max)
        else:
            return memoryview(output)[:size]


def _too_large(name: str, bytes_max: int) -> UndecodableRecords:
    return UndecodableRecords(f"{name}: opens to more than {bytes_max} bytes")
