"""The ring's bytes: where what is in the file. `README.md` beside this file tells it in words.

Everything is little-endian, and every number a 64-bit word at a multiple of 8, so that each is read
and written in one piece on every machine that this runs on.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

__all__ = [
    "CAPACITY",
    "CHANNELS",
    "CREATED_NS",
    "DATA_OFFSET",
    "DROPPED",
    "ENDED",
    "HEAD",
    "HEADER_BYTES",
    "MAGIC",
    "MAX_CHANNELS",
    "PADDING",
    "RECORD_BYTES",
    "SKIPPED",
    "SLOT_BYTES",
    "TAIL",
    "VERSION",
    "WRITER_PID",
    "Fence",
    "RingChannel",
    "pack_channel",
    "padded",
    "unpack_channel",
]

MAGIC = int.from_bytes(b"DAQRING\0", "little")
VERSION = 1

HEADER_BYTES = 4096
SLOT_BYTES = 512
MAX_CHANNELS = 4096
DATA_OFFSET = HEADER_BYTES + SLOT_BYTES * MAX_CHANNELS
RECORD_BYTES = 64
"""A record's own header; records and the values in them begin at multiples of it."""
PADDING = (1 << 64) - 1
"""The channel of a record that only fills the end of the data area."""

# Words of the file's header. Those that change are in cache lines of their own.
CAPACITY, CREATED_NS, WRITER_PID, ENDED = 3, 7, 8, 9
TAIL = 16
"""Where the oldest record that is whole begins. What lies before is being overwritten."""
HEAD = 24
"""Where the next record will begin. What lies before is complete."""
CHANNELS, DROPPED, SKIPPED = 32, 33, 34

_NAME_BYTES, _UNITS_BYTES, _DTYPE_BYTES = 256, 64, 16
_NAME_AT, _UNITS_AT, _DTYPE_AT = 128, 384, 448
_MOST_DIMENSIONS = 8


class Fence:
    """Keeps the stores, or the loads, before it apart from those after it.

    Taking and leaving a lock twice is a full memory barrier: nothing moves up over the second
    taking or down over the first leaving. x86 needs it only for large copies, which the C library
    makes with stores that its usual order does not hold for; ARM needs it always.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            pass
        with self._lock:
            pass


@dataclass(frozen=True, slots=True)
class RingChannel:
    """What all samples of a slot have in common."""

    name: str
    units: str
    dtype: str
    """numpy type string, such as `<u2`."""
    shape: tuple[int, ...]
    """Of one sample."""

    @property
    def sample_bytes(self) -> int:
        return np.dtype(self.dtype).itemsize * int(np.prod(self.shape, dtype=np.int64))


def padded(size: int) -> int:
    """`size` rounded up to a multiple of the alignment."""
    return (size + RECORD_BYTES - 1) // RECORD_BYTES * RECORD_BYTES


def pack_channel(channel: RingChannel) -> bytes | None:
    """A slot's bytes behind its two counters; None for a channel that the table cannot describe."""
    name, units, dtype = (t.encode() for t in (channel.name, channel.units, channel.dtype))
    fits = (
        len(name) < _NAME_BYTES
        and len(units) < _UNITS_BYTES
        and len(dtype) < _DTYPE_BYTES
        and len(channel.shape) <= _MOST_DIMENSIONS
        and np.dtype(channel.dtype).kind in "biufc"
    )
    if not fits:
        return None
    slot = bytearray(SLOT_BYTES)
    numbers = np.array([len(channel.shape), *channel.shape], "<u8").tobytes()
    slot[16 : 16 + len(numbers)] = numbers
    for at, text in ((_NAME_AT, name), (_UNITS_AT, units), (_DTYPE_AT, dtype)):
        slot[at : at + len(text)] = text
    return bytes(slot[16:])


def unpack_channel(slot: bytes) -> RingChannel:
    """The inverse, of a whole slot."""
    dimensions, *lengths = np.frombuffer(slot, "<u8", 1 + _MOST_DIMENSIONS, 16).tolist()
    return RingChannel(
        _text(slot, _NAME_AT, _NAME_BYTES),
        _text(slot, _UNITS_AT, _UNITS_BYTES),
        _text(slot, _DTYPE_AT, _DTYPE_BYTES),
        tuple(lengths[:dimensions]),
    )


def _text(slot: bytes, at: int, size: int) -> str:
    return slot[at : at + size].split(b"\0", 1)[0].decode()
