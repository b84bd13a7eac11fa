"""What the records of a journal say: their kinds, and how what is rare is packed, by msgpack.

Events and blocks have modules of their own, `row_records` and `block_records`. Arrays are their raw
bytes; large ones may lie elsewhere, and the record says where (`daq.storage.journal.placed`).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import IntEnum
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from daq.core import Column, RunOutcome, RunStart, RunStop, StorageError
from daq.core.values import from_jsonable, to_jsonable
from daq.storage.journal.channel import ChannelInfo
from daq.storage.journal.framing import Buffer
from daq.storage.journal.placed import Placed, Sample

__all__ = [
    "Kind",
    "clean_text",
    "decode_channel",
    "decode_large",
    "decode_start",
    "decode_stop",
    "decode_stream",
    "encode_channel",
    "encode_large",
    "encode_start",
    "encode_stop",
    "encode_stream",
    "known_fields",
    "points_at_stop",
    "raw_bytes",
    "sequence_of_row",
    "stream_of_row",
]

Array = npt.NDArray[Any]

_LENGTH = struct.Struct("<I")
_SEQUENCE = struct.Struct("<Q")
_PLACE = struct.Struct("<QI")
_HERE = _PLACE.pack(0, 0)


class Kind(IntEnum):
    """The kinds of records. Numbers are never reused."""

    START = 1
    STREAM = 2
    ROW = 3
    CHANNEL = 4
    BLOCK = 5
    STOP = 6


def clean_text(text: str) -> str:
    """The same text for UTF-8 and HDF5: a lone surrogate as its escape, NUL as a visible sign."""
    shown = str(text).replace("\0", "\N{SYMBOL FOR NULL}")
    return shown.encode(errors="backslashreplace").decode()


def _pack(value: Any, *, typed: bool = False) -> bytes:
    """As msgpack; `typed` where arrays and the like may be in it, which `from_jsonable` reads."""
    try:
        known = to_jsonable(value) if typed else value
        packed: bytes = msgpack.packb(known, unicode_errors="backslashreplace")
    except (OverflowError, ValueError, TypeError, RecursionError) as error:
        raise StorageError(f"the run's description cannot be stored: {error}") from error
    return packed


def _unpack(payload: Buffer) -> Any:
    return msgpack.unpackb(payload, strict_map_key=False)


def encode_start(start: RunStart) -> bytes:
    return _pack(_fields(start), typed=True)


def decode_start(payload: Buffer) -> RunStart:
    return RunStart(**known_fields(RunStart, from_jsonable(_unpack(payload))))


def encode_stop(stop: RunStop, points: int | None = None) -> bytes:
    """`points` is how many events were acknowledged in all."""
    return _pack(asdict(stop) | ({} if points is None else {"points": points}))


def decode_stop(payload: Buffer) -> RunStop:
    fields = known_fields(RunStop, _unpack(payload))
    return RunStop(**fields | {"outcome": RunOutcome(fields["outcome"])})


def points_at_stop(payload: Buffer) -> int:
    """How many events were acknowledged when the run ended; 0 when that is not said."""
    return int(_unpack(payload).get("points", 0))


def known_fields(model: type[Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the fields that the model has: others were written by a newer version."""
    return {name: fields[name] for name in fields if name in model.__dataclass_fields__}


def encode_stream(index: int, name: str, columns: Sequence[Column]) -> bytes:
    return _pack([index, name, [_fields(column) for column in columns]])


def _fields(value: RunStart | Column) -> dict[str, Any]:
    """As `asdict`, which takes ten times as long for the thousands of columns that there may be."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def decode_stream(payload: Buffer) -> tuple[int, str, tuple[Column, ...]]:
    index, name, columns = _unpack(payload)
    known = [known_fields(Column, column) for column in columns]
    return index, name, tuple(Column(**c | {"shape": tuple(c["shape"])}) for c in known)


def encode_channel(index: int, channel: ChannelInfo) -> bytes:
    return _pack([index, channel.name, channel.units, channel.dtype, channel.shape])


def decode_channel(payload: Buffer) -> tuple[int, ChannelInfo]:
    index, name, units, dtype, shape = _unpack(payload)
    return index, ChannelInfo(name, units, dtype, tuple(shape))


def encode_large(sample: Array, place: Placed | None) -> list[Buffer]:
    """A large sample, or where it lies."""
    return [_HERE, raw_bytes(sample)] if place is None else [_PLACE.pack(*place)]


def decode_large(
    data: memoryview, offset: int, dtype: str, shape: tuple[int, ...]
) -> tuple[Sample, int]:
    """The sample that begins at `offset`, and where the next one begins."""
    place = Placed(*_PLACE.unpack_from(data, offset))
    offset += _PLACE.size
    if place.offset:
        return place, offset
    sample = np.frombuffer(data, dtype, int(np.prod(shape, dtype=np.int64)), offset)
    return sample.reshape(shape), offset + sample.nbytes


def raw_bytes(array: Array) -> memoryview:
    """The bytes of an array in C order, not copied when they lie that way already."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8).data if flat.size else memoryview(b"")


def stream_of_row(payload: memoryview) -> int:
    """The index of the stream that a row belongs to, or of the channel that a block does."""
    index: int = _LENGTH.unpack_from(payload)[0]
    return index


def sequence_of_row(payload: memoryview) -> int:
    """The number of an event in its stream."""
    sequence: int = _SEQUENCE.unpack_from(payload, _LENGTH.size)[0]
    return sequence
