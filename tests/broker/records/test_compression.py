"""Opening and closing compressed records."""

import gzip
import importlib.util

import pytest

from broker.records import Compression, CompressionUnavailable, NewRecord, UndecodableRecords, build_batch, parse_header
from broker.records.batch import RecordBatch, compression_of
from broker.records.compression import compress, decompress

HAS_CRAMJAM = importlib.util.find_spec("cramjam") is not None
NEED_CRAMJAM = [Compression.SNAPPY, Compression.LZ4, Compression.ZSTD]
AVAILABLE = [Compression.NONE, Compression.GZIP, *(NEED_CRAMJAM if HAS_CRAMJAM else [])]


@pytest.mark.parametrize("compression", AVAILABLE)
def test_what_is_closed_opens_again(compression: Compression) -> None:
    """A round trip through each installed codec, in a batch; larger than one snappy block."""
    value = bytes(range(256)) * 400
    batch = build_batch([NewRecord(b"k", value), NewRecord(b"l", None)], timestamp=3, compression=compression)
    records = list(RecordBatch(parse_header(batch), memoryview(batch)).records())
    assert [(r.offset, r.key, r.value) for r in records] == [(0, b"k", value), (1, b"l", None)]


@pytest.mark.parametrize("compression", [c for c in AVAILABLE if c is not Compression.NONE])
def test_a_small_batch_that_opens_to_gigabytes_is_stopped_at_the_limit(compression: Compression) -> None:
    """One byte over the limit is refused, the limit itself is not."""
    packed = memoryview(compress(compression, bytes(1_000_000)))
    assert len(decompress(compression, packed, 1_000_000)) == 1_000_000
    with pytest.raises(UndecodableRecords, match="more than 999999"):
        decompress(compression, packed, 999_999)


@pytest.mark.parametrize("compression", [c for c in AVAILABLE if c is not Compression.NONE])
def test_garbage_does_not_open(compression: Compression) -> None:
    """Bytes that no codec wrote raise UndecodableRecords."""
    with pytest.raises(UndecodableRecords):
        decompress(compression, memoryview(b"\xff\x00garbage that nobody compressed" * 3))


@pytest.mark.parametrize("cut", [1, 8, 20])
def test_a_gzip_stream_that_ends_early_is_refused(cut: int) -> None:
    """A cut stream is not taken for a short one."""
    with pytest.raises(UndecodableRecords):
        decompress(Compression.GZIP, memoryview(gzip.compress(b"some records" * 9)[:-cut]))


@pytest.mark.skipif(HAS_CRAMJAM, reason="cramjam is installed")
@pytest.mark.parametrize("compression", NEED_CRAMJAM)
def test_a_missing_codec_says_what_to_install(compression: Compression) -> None:
    """The error names the package and the way out."""
    with pytest.raises(CompressionUnavailable, match="pip install cramjam"):
        decompress(compression, memoryview(b"x"))


def test_an_unknown_compression_code_is_refused() -> None:
    """Codes 5 to 7 mean nothing."""
    header = parse_header(build_batch([NewRecord(None, b"v")], timestamp=1))
    with pytest.raises(UndecodableRecords, match="code 6"):
        compression_of(header._replace(attributes=6))
