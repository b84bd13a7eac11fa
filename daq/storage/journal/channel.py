"""A channel of the bus, as storage tells channels apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daq.core import Measurement

__all__ = ["ChannelInfo"]


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """A channel of the bus whose blocks are stored outside of events."""

    name: str
    units: str
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, block: Measurement) -> ChannelInfo:
        """What a block tells of its channel."""
        return cls(block.channel, block.units, block.values.dtype.str, block.sample_shape)

    @property
    def sample_bytes(self) -> int:
        """The size of one sample."""
        return np.dtype(self.dtype).itemsize * int(np.prod(self.shape, dtype=np.int64))
