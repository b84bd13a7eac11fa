"""What travels the data plane: readings from drivers and measurement blocks on the bus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Invalid", "Measurement", "Reading", "merge_blocks"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """One value that a driver took: a scalar, a waveform (n,) or a frame (height, width)."""

    value: float | int | bool | Array
    timestamp_ns: int
    """When the value was true at the instrument, ns since the epoch."""


@dataclass(frozen=True, slots=True)
class Invalid:
    """In the place of a polled value that there is not now."""

    reason: str
    """Why, for people: an overload, a saturated detector, an output that is off."""


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """A block of n >= 1 samples of one channel: the one type of the data plane.

    Scalars, waveforms and camera frames are all this; only the shape of a sample differs. A block
    is never changed after it was published, so everybody may share its arrays.
    """

    channel: str
    """`stage`, or `laser.wavelength`: a device's own channel bears the device's id."""
    timestamps: npt.NDArray[np.int64]
    """Shape (n,), ns since the epoch."""
    values: Array
    """Shape (n, *sample_shape)."""
    units: str
    sequence: int
    """Counts the channel's samples from 0; the block holds `sequence` to `sequence + n - 1`."""
    event: int | None = None
    """The event of the open run that holds this block, when it was taken for one."""

    def __post_init__(self) -> None:
        if self.timestamps.ndim != 1 or self.timestamps.shape != self.values.shape[:1]:
            raise ValueError(
                f"{self.channel}: {self.timestamps.shape} timestamps for {self.values.shape} values"
            )
        if len(self.timestamps) == 0:
            raise ValueError(f"{self.channel}: a block holds at least one sample")

    @classmethod
    def single(cls, channel: str, reading: Reading, units: str, sequence: int) -> Measurement:
        """Wrap one reading as a block of one sample."""
        value = np.asarray(reading.value)
        return cls(
            channel,
            np.array([reading.timestamp_ns], dtype=np.int64),
            value.reshape((1, *value.shape)),
            units,
            sequence,
        )

    def __len__(self) -> int:
        return len(self.timestamps)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """() for scalars, (n,) for waveforms, (height, width) for frames."""
        return tuple(self.values.shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of payload: values and timestamps."""
        return int(self.values.nbytes + self.timestamps.nbytes)

    def last(self) -> Array | Any:
        """The newest sample: a numpy scalar, or an array of `sample_shape`."""
        return self.values[-1]

    def in_event(self, event: int) -> Measurement:
        """The same block, marked as part of an event."""
        return replace(self, event=event)


def merge_blocks(blocks: Iterable[Measurement]) -> list[Measurement]:
    """Join the blocks of each channel that follow one another without a gap, in their order."""
    rows: list[list[Measurement]] = []
    open_row: dict[str, list[Measurement]] = {}
    for block in blocks:
        row = open_row.get(block.channel)
        if row is not None and _continues(row[-1], block):
            row.append(block)
        else:
            open_row[block.channel] = row = [block]
            rows.append(row)
    return [_joined(row) for row in rows]


def _continues(before: Measurement, block: Measurement) -> bool:
    return (
        block.sequence == before.sequence + len(before)
        and block.sample_shape == before.sample_shape
        and block.values.dtype == before.values.dtype
        and block.units == before.units
        and block.event == before.event
    )


def _joined(row: list[Measurement]) -> Measurement:
    if len(row) == 1:
        return row[0]
    return Measurement(
        row[0].channel,
        np.concatenate([block.timestamps for block in row]),
        np.concatenate([block.values for block in row]),
        row[0].units,
        row[0].sequence,
        row[0].event,
    )
