"""The records of what the bus carried outside of events: blocks of samples of one channel."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.core import Measurement
from daq.storage.journal.channel import ChannelInfo
from daq.storage.journal.framing import Buffer
from daq.storage.journal.placed import LARGE_BYTES, Placed, Sample
from daq.storage.journal.records import decode_large, encode_large, raw_bytes

__all__ = ["BlockBatch", "decode_block", "decode_small_blocks", "encode_block"]

Array = npt.NDArray[Any]

_BLOCK = struct.Struct("<IIQ")


@dataclass(frozen=True, slots=True, eq=False)
class BlockBatch:
    """Consecutive samples of one channel."""

    index: int
    """Tells channels apart, also when one came back with another shape."""
    channel: ChannelInfo
    timestamps: npt.NDArray[np.int64]
    values: Array | list[Sample]
    """An array of shape (n, *channel.shape), or a list of n large samples."""

    def part(self, begin: int, end: int) -> BlockBatch:
        """Its samples from `begin` to before `end`."""
        times, values = self.timestamps[begin:end], self.values[begin:end]
        return replace(self, timestamps=times, values=values)

    @property
    def sample_bytes(self) -> int:
        """What a large sample takes when it is fetched."""
        return self.channel.sample_bytes if isinstance(self.values, list) else 0


def encode_block(
    index: int, block: Measurement, places: Sequence[Placed | None] = ()
) -> list[Buffer]:
    """`places` says for each of a block's large samples where it lies; None for here."""
    head: list[Buffer] = [_BLOCK.pack(index, len(block), block.sequence)]
    head.append(raw_bytes(block.timestamps))
    if not places:
        return [*head, raw_bytes(block.values)]
    samples = zip(block.values, places, strict=True)
    return [*head, *(part for sample, place in samples for part in encode_large(sample, place))]


def decode_block(payload: memoryview, channels: Mapping[int, ChannelInfo]) -> BlockBatch:
    index, count, _sequence = _BLOCK.unpack_from(payload)
    channel = channels[index]
    middle = _BLOCK.size + 8 * count
    timestamps = np.frombuffer(payload[_BLOCK.size : middle], dtype=np.int64)
    if channel.sample_bytes >= LARGE_BYTES:
        samples: list[Sample] = []
        for _ in range(count):
            sample, middle = decode_large(payload, middle, channel.dtype, channel.shape)
            samples.append(sample)
        return BlockBatch(index, channel, timestamps, samples)
    values = np.frombuffer(payload[middle:], dtype=channel.dtype)
    return BlockBatch(index, channel, timestamps, values.reshape((count, *channel.shape)))


def decode_small_blocks(payloads: Sequence[memoryview], channel: ChannelInfo) -> BlockBatch | None:
    """Blocks of one channel without large samples in one step; None when their sizes differ."""
    index, count, _sequence = _BLOCK.unpack_from(payloads[0])
    if {len(payload) for payload in payloads} != {len(payloads[0])}:
        return None
    dtype = np.dtype(
        [
            ("head", f"V{_BLOCK.size}"),
            ("times", "<i8", (count,)),
            ("values", channel.dtype, (count, *channel.shape)),
        ]
    )
    rows = np.frombuffer(b"".join(payloads), dtype)
    values = rows["values"].reshape((-1, *channel.shape))
    return BlockBatch(index, channel, rows["times"].reshape(-1), values)
