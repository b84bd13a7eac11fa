"""The camera's image sensor: photons in, counts out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daq.drivers.simulated.bench import FloatArray, Light

__all__ = ["NoisePool", "Sensor"]

_SPARE = 1 << 20
"""Deviates beyond one frame; more would only cost memory."""


class NoisePool:
    """Normal deviates for whole frames at the price of a copy.

    Each frame takes its noise from a random place of a pool that is longer than a frame, so that it
    does not repeat from frame to frame; drawing it afresh would cost ten times as much.
    """

    def __init__(self, random: np.random.Generator, size: int) -> None:
        self._random = random
        self._size = size
        self._pool = random.standard_normal(size + min(3 * size, _SPARE), dtype=np.float32)

    def draw(self) -> FloatArray:
        """A read-only view of `size` deviates, float32."""
        first = int(self._random.integers(len(self._pool) - self._size))
        return self._pool[first : first + self._size]


@dataclass(frozen=True, slots=True)
class Sensor:
    """A sensor of `size` (width, height) pixels behind a neutral density filter."""

    size: tuple[int, int]
    pitch: float
    """Edge length of a pixel, mm."""
    quantum_efficiency: float
    density: float
    """Optical density of the filter: it lets 10**-density through."""
    read_noise: float
    """Electrons, standard deviation."""
    offset: float
    """Counts of a dark pixel."""
    bits: int

    @property
    def saturation(self) -> int:
        """The highest count."""
        return (1 << self.bits) - 1

    def expose(
        self, light: Light, exposure: float, gain: float, noise: FloatArray
    ) -> npt.NDArray[np.uint16]:
        """A frame of shape (height, width) in counts: shot and read noise, offset, saturation.

        Args:
            light: What falls on the sensor.
            exposure: Seconds.
            gain: Counts per electron.
            noise: A normal deviate per pixel, flat.
        """
        passed = self.quantum_efficiency * 10.0**-self.density
        electrons = light.image(self.size, self.pitch)
        electrons *= np.float32(exposure * passed / light.beam.photon_energy)
        counts = electrons + np.float32(self.read_noise**2)
        np.sqrt(counts, out=counts)
        counts *= noise.reshape(counts.shape)
        counts += electrons
        counts *= np.float32(gain)
        counts += np.float32(self.offset)
        np.clip(counts, 0, self.saturation, out=counts)
        return counts.astype(np.uint16)
