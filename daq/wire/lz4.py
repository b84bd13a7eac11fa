"""LZ4 as `FrameData` carries it: the size of the data as 4 bytes, little-endian, then one block."""

from __future__ import annotations

import struct

import pyarrow as pa

__all__ = ["compress_lz4", "decompress_lz4"]

_SIZE = struct.Struct("<I")


def compress_lz4(data: bytes | memoryview) -> bytes:
    """Takes a millisecond or so a MiB: not for an event loop."""
    block: bytes = pa.Codec("lz4_raw").compress(data, asbytes=True)
    return _SIZE.pack(memoryview(data).nbytes) + block


def decompress_lz4(data: bytes, expected: int) -> bytes:
    """The inverse. Raises ValueError unless `expected` bytes come out."""
    size = _SIZE.unpack_from(data)[0] if len(data) >= _SIZE.size else -1
    if size != expected:
        raise ValueError(f"a frame of {expected} bytes was announced, one of {size} came")
    try:
        whole: bytes = pa.Codec("lz4_raw").decompress(
            memoryview(data)[_SIZE.size :], decompressed_size=size, asbytes=True
        )
    except OSError as error:
        raise ValueError(f"a compressed frame is damaged: {error}") from error
    return whole
