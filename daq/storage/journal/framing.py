"""How records lie in a journal, and how they are found again behind a place that is damaged.

A record of version 2 is a head (length, CRC-32 of the payload, kind, mark, CRC-32 of the head) and
its payload. A head that is whole says where the next record begins even when its payload is
damaged; where a head is damaged the next one is found by its mark. So nothing that is intact is
lost behind what is not, and nothing inside of a payload is ever taken for a record.

Version 1 had no mark and one checksum for both: there every place that may be a head is tried.

CRC-32 of zlib and not CRC-32C: it is in the standard library and as fast as the page cache.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from daq.core import StorageError

__all__ = [
    "FRAMINGS",
    "HEADER_BYTES",
    "VERSION",
    "Buffer",
    "Framing",
    "RawRecord",
    "Scan",
    "encode_record",
    "file_header",
    "header_version",
    "scan",
]

Buffer = bytes | memoryview

VERSION = 2
_MAGIC = b"DAQJRNL\n"
_HEADER = struct.Struct("<8sII")
HEADER_BYTES = _HEADER.size
_MARK = b"\xd1\xab\x9e"
"""No text in UTF-8, and rare in numbers."""
_MARK_AT = 9
_HEAD = struct.Struct("<IIB3sI")
_HEAD_1 = struct.Struct("<IIB3x")
_KINDS_1 = re.compile(rb"[\x01-\x06]\x00\x00\x00", re.DOTALL)
_TAG_1 = struct.Struct("<IB")
_MAX_PAYLOAD = (1 << 32) - 1


class RawRecord(NamedTuple):
    """One record as it lies in the file."""

    kind: int
    payload: memoryview


@dataclass(frozen=True, slots=True)
class Scan:
    """What a stretch of a journal holds."""

    records: list[RawRecord]
    consumed: int
    """Bytes of the complete, undamaged records at its beginning."""
    wanted: int
    """Bytes that the next record needs in all, as far as can be told; 0 when it is damaged."""
    skip: int = 0
    """Bytes of the damaged record, when its head is whole."""


def file_header(version: int = VERSION) -> bytes:
    """The first bytes of every journal."""
    start = _HEADER.pack(_MAGIC, version, 0)[:-4]
    return start + struct.pack("<I", zlib.crc32(start))


def header_version(header: bytes) -> int | None:
    """The version of a journal that begins like this; None when that cannot be told."""
    if len(header) < HEADER_BYTES:
        return None
    magic, version, _ = _HEADER.unpack_from(header)
    is_whole = magic == _MAGIC and header[:HEADER_BYTES] == file_header(version)
    return int(version) if is_whole else None


def encode_record(kind: int, *parts: Buffer) -> list[Buffer]:
    """Frame one record. The parts are not copied: they are written one behind the other."""
    length = sum(map(len, parts))
    if length > _MAX_PAYLOAD:
        raise StorageError(f"a record of {length} bytes is over the limit of {_MAX_PAYLOAD} bytes")
    crc = 0
    for part in parts:
        crc = zlib.crc32(part, crc)
    head = _HEAD.pack(length, crc, kind, _MARK, 0)[:-4]
    return [head + zlib.crc32(head).to_bytes(4, "little"), *parts]


def scan(data: memoryview) -> Scan:
    """Split `data`, which begins at a record, into records, up to the first that is not whole."""
    records: list[RawRecord] = []
    offset, size, crc32 = 0, _HEAD.size, zlib.crc32
    while offset + size <= len(data):
        length, crc, kind, _, head_crc = _HEAD.unpack_from(data, offset)
        if crc32(data[offset : offset + size - 4]) != head_crc:
            return Scan(records, offset, 0)
        begin = offset + size
        if begin + length > len(data):
            return Scan(records, offset, size + length)
        payload = data[begin : begin + length]
        if crc32(payload) != crc:
            return Scan(records, offset, 0, size + length)
        records.append(RawRecord(kind, payload))
        offset = begin + length
    return Scan(records, offset, size)


def _scan_1(data: memoryview) -> Scan:
    records: list[RawRecord] = []
    offset = 0
    while offset + _HEAD_1.size <= len(data):
        length, crc, kind = _HEAD_1.unpack_from(data, offset)
        begin = offset + _HEAD_1.size
        if begin + length > len(data):
            return Scan(records, offset, _HEAD_1.size + length)
        payload = data[begin : begin + length]
        if zlib.crc32(payload, zlib.crc32(_TAG_1.pack(length, kind))) != crc:
            return Scan(records, offset, 0)
        records.append(RawRecord(kind, payload))
        offset = begin + length
    return Scan(records, offset, _HEAD_1.size)


def _heads(data: bytes) -> Iterator[int]:
    at = data.find(_MARK)
    while at >= 0:
        begin = at - _MARK_AT
        head = data[begin : begin + _HEAD.size] if begin >= 0 else b""
        if len(head) == _HEAD.size and zlib.crc32(head[:-4]).to_bytes(4, "little") == head[-4:]:
            yield begin
        at = data.find(_MARK, at + 1)


def _heads_1(data: bytes) -> Iterator[int]:
    for found in _KINDS_1.finditer(data):
        if (begin := found.start() - 8) >= 0:
            yield begin


@dataclass(frozen=True, slots=True)
class Framing:
    """How the records of one version are told apart."""

    head_bytes: int
    scan: Callable[[memoryview], Scan]
    heads: Callable[[bytes], Iterator[int]]
    """Where in some bytes a head may begin."""
    is_certain: bool
    """Whether a head that is whole can be trusted before its payload was read."""


FRAMINGS = {
    1: Framing(_HEAD_1.size, _scan_1, _heads_1, is_certain=False),
    2: Framing(_HEAD.size, scan, _heads, is_certain=True),
}
"""By version of the journal."""
