"""
Walks over the batches of a .log file in bounded memory, whatever their sizes say.

Three walks: over headers only, and over whole batches, through a file that is trusted; and over every byte, with CRC,
through one that a crash may have torn.
"""

from collections.abc import Iterator
from pathlib import Path

from broker.records import RecordBatch
from broker.records.checksum import crc32c
from broker.records.header import (
    HEADER_SIZE,
    LOG_OVERHEAD,
    MAGIC,
    BatchHeader,
    CorruptBatch,
    crc_is_right,
    parse_header,
)
from broker.storage.errors import StorageError
from broker.storage.files import OpenFile

_HEADER_CHUNK = 8 * 1024
_WHOLE_CHUNK = 1024 * 1024
_CRC_START = 21


def scan_headers(file: OpenFile, position: int, end: int) -> Iterator[tuple[int, BatchHeader]]:
    """
    (position, header) of each batch from byte *position*, where one starts, to byte *end*.

    Raises CorruptBatch where the bytes cannot be a header, or a batch runs past *end*.
    """
    chunk = b""
    chunk_start = position
    while position < end:
        within = position - chunk_start
        if within + HEADER_SIZE > len(chunk):
            chunk = file.read_at(position, min(_HEADER_CHUNK, end - position))
            chunk_start = position
            within = 0
        header = parse_header(chunk, within)
        if header.magic != MAGIC or header.batch_length < HEADER_SIZE - LOG_OVERHEAD or position + header.size > end:
            raise CorruptBatch(
                f"magic {header.magic}, length {header.batch_length}, {end - position} bytes left", position
            )
        yield position, header
        position += header.size


def scan_valid_batches(file: OpenFile, size: int, base_offset: int) -> Iterator[tuple[int, BatchHeader]]:
    """
    (position, header) of each batch of a segment up to the first byte that is not part of a whole, valid one.

    Valid: magic 2, a right CRC, a last offset behind that of the batch before, all within the segment's reach.
    """
    position = 0
    next_offset = base_offset
    chunk = b""
    chunk_start = 0
    while size - position >= HEADER_SIZE:
        within = position - chunk_start
        if within + HEADER_SIZE > len(chunk):
            chunk = file.read_at(position, min(_WHOLE_CHUNK, size - position))
            chunk_start = position
            within = 0
            if len(chunk) < HEADER_SIZE:
                return
        header = parse_header(chunk, within)
        if (
            header.magic != MAGIC
            or header.batch_length < HEADER_SIZE - LOG_OVERHEAD
            or position + header.size > size
            or header.base_offset < next_offset
            or header.last_offset_delta < 0
            or header.last_offset - base_offset >= 2**32
        ):
            return
        if within + header.size <= len(chunk):
            crc = crc32c(memoryview(chunk)[within + _CRC_START : within + header.size])
        else:
            crc = _crc_of(file, position + _CRC_START, position + header.size)
        if crc != header.crc:
            return
        yield position, header
        position += header.size
        next_offset = header.next_offset


def scan_batches(file: OpenFile, path: Path, end: int) -> Iterator[RecordBatch]:
    """The batches of a trusted file up to byte *end*, whole, CRC checked. Raises StorageError, which names *path*."""
    chunk = memoryview(b"")
    chunk_start = 0
    try:
        for position, header in scan_headers(file, 0, end):
            within = position - chunk_start
            if within + header.size > len(chunk):
                size = min(max(_WHOLE_CHUNK, header.size), end - position)
                chunk, chunk_start, within = memoryview(file.read_at(position, size)), position, 0
            data = chunk[within : within + header.size]
            if len(data) < header.size or not crc_is_right(data, header.crc):
                raise CorruptBatch("the CRC does not match", position)
            yield RecordBatch(header, data)
    except CorruptBatch as error:
        raise StorageError(
            path, f"{error}; the disk changed what was written, restore this file from a copy"
        ) from error


def _crc_of(file: OpenFile, position: int, end: int) -> int:
    crc = 0
    while position < end:
        chunk = file.read_at(position, min(_WHOLE_CHUNK, end - position))
        if not chunk:
            break
        crc = crc32c(chunk, crc)
        position += len(chunk)
    return crc
