"""The physics of the simulated bench: one Gaussian beam from the laser to the detectors.

    laser ── shutter ── polariser (rotator) ── knife edge (stage) ──┬── power meter
                                                                    ├── photodiode, digitizer
                                                                    └── lens ── camera (focus stage)

The beam splitter is ideal: every detector sees the whole beam. A knife edge at position x lets
through what of the beam lies below x, so the power behind it is P/2 (1 + erf(√2 x / w)) for a
1/e² radius w and a beam centred on x = 0. Behind a polariser at an angle a to the polarisation the
power is P ((1 - e) cos² a + e), with 1/e the extinction ratio. The camera sees the geometric shadow
of the edge. Lengths are in mm, wavelengths in nm, powers in W, angles in degrees.

`Light` and what it computes is pure. `Bench` only knows who stands on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from daq.core import ConfigurationError

__all__ = ["Beam", "Bench", "Focus", "Light", "malus", "passed_by_edge"]

PHOTON_ENERGY_J_NM = 1.98644586e-16
"""h c in J nm: a photon of 800 nm has 2.5e-19 J."""

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Beam:
    """A linearly polarised Gaussian beam as it leaves the laser."""

    power: float = 5e-3
    """W."""
    wavelength: float = 800.0
    """nm."""
    waist: float = 0.5
    """1/e² radius of the intensity at the edge, mm."""
    polarisation: float = 0.0
    """Degrees."""

    @property
    def photon_energy(self) -> float:
        """J."""
        return PHOTON_ENERGY_J_NM / self.wavelength


@dataclass(frozen=True, slots=True)
class Focus:
    """A lens before the camera, and where the camera stands along the beam behind it."""

    focal_length: float
    """mm."""
    defocus: float
    """Distance of the camera from the focus, mm."""

    def radius(self, beam: Beam) -> float:
        """1/e² radius at the camera, mm: w(z) = w0 √(1 + (z / zR)²)."""
        wavelength_mm = beam.wavelength * 1e-6
        waist = wavelength_mm * self.focal_length / (math.pi * beam.waist)
        rayleigh_range = math.pi * waist**2 / wavelength_mm
        return waist * math.hypot(1.0, self.defocus / rayleigh_range)


@dataclass(frozen=True, slots=True)
class Light:
    """What arrives at the detectors at one moment."""

    beam: Beam
    """Its power is that before the edges."""
    edge_x: float = math.inf
    """The beam is cut above this x, mm."""
    edge_y: float = math.inf
    focus: Focus | None = None

    @property
    def power(self) -> float:
        """W, of the whole cut beam."""
        x = passed_by_edge(self.edge_x, self.beam.waist)
        y = passed_by_edge(self.edge_y, self.beam.waist)
        return self.beam.power * x * y

    @property
    def camera_radius(self) -> float:
        """1/e² radius that the camera sees, mm."""
        return self.beam.waist if self.focus is None else self.focus.radius(self.beam)

    def image(self, size: tuple[int, int], pitch: float) -> FloatArray:
        """Power per pixel in W, shape (height, width), on a camera centred on the beam.

        Args:
            size: Width and height in pixels.
            pitch: Edge length of a pixel in mm.
        """
        width, height = size
        shadow = self.camera_radius / self.beam.waist
        row = self._line(width, pitch, self.edge_x * shadow)
        column = self._line(height, pitch, self.edge_y * shadow)
        image = np.multiply.outer(column * np.float32(self.beam.power), row)
        return np.asarray(image, dtype=np.float32)

    def _line(self, pixels: int, pitch: float, edge: float) -> FloatArray:
        """The part of the power that falls on each pixel of one axis; the beam is separable."""
        centres = (np.arange(pixels) - 0.5 * (pixels - 1)) * pitch
        radius = self.camera_radius
        density = math.sqrt(2.0 / math.pi) / radius * np.exp(-2.0 * (centres / radius) ** 2)
        uncovered = np.clip((edge - centres) / pitch + 0.5, 0.0, 1.0)
        return np.asarray(density * pitch * uncovered, dtype=np.float32)


def passed_by_edge(edge: float, radius: float) -> float:
    """The part of a centred Gaussian beam of this 1/e² radius that lies below `edge` (both mm)."""
    return 0.5 * (1.0 + math.erf(math.sqrt(2.0) * edge / radius))


def malus(angle: float, extinction_ratio: float) -> float:
    """The part of the power behind a polariser at `angle` degrees to the polarisation."""
    leak = 1.0 / extinction_ratio
    return (1.0 - leak) * math.cos(math.radians(angle)) ** 2 + leak


@dataclass(frozen=True, slots=True)
class _Polariser:
    angle: Callable[[], float]
    extinction_ratio: float


@dataclass(slots=True)
class Bench:
    """Who stands in the beam. Each driver puts its part there; `light` asks all of them."""

    _source: Callable[[], Beam] | None = None
    _polarisers: list[_Polariser] = field(default_factory=list)
    _edges_x: list[Callable[[], float]] = field(default_factory=list)
    _edges_y: list[Callable[[], float]] = field(default_factory=list)
    _focus: Callable[[], Focus] | None = None

    def put_source(self, beam: Callable[[], Beam]) -> None:
        """Let this laser feed the bench. Without one, a fixed `Beam()` shines."""
        if self._source is not None:
            raise ConfigurationError("the simulated bench has a laser already; it has room for one")
        self._source = beam

    def put_polariser(self, angle: Callable[[], float], extinction_ratio: float) -> None:
        """Add a polariser behind those that are there; `angle` tells its axis in degrees."""
        self._polarisers.append(_Polariser(angle, extinction_ratio))

    def put_edge(self, position: Callable[[], float], *, vertical: bool = False) -> None:
        """Add a knife edge that moves along x, or along y; `position` in mm from the beam."""
        (self._edges_y if vertical else self._edges_x).append(position)

    def put_focus(self, focus: Callable[[], Focus]) -> None:
        """Put a lens before the camera and the camera on a stage along the beam."""
        if self._focus is not None:
            raise ConfigurationError(
                "the camera of the simulated bench stands on a focus stage already",
                advice='give the second stage another axis: "edge", "edge_y" or "free"',
            )
        self._focus = focus

    def light(self) -> Light:
        """What arrives at the detectors now."""
        return Light(
            beam=self._polarised(self._source() if self._source else Beam()),
            edge_x=min((edge() for edge in self._edges_x), default=math.inf),
            edge_y=min((edge() for edge in self._edges_y), default=math.inf),
            focus=self._focus() if self._focus else None,
        )

    def _polarised(self, beam: Beam) -> Beam:
        for polariser in self._polarisers:
            angle = polariser.angle()
            passed = malus(angle - beam.polarisation, polariser.extinction_ratio)
            beam = replace(beam, power=beam.power * passed, polarisation=angle)
        return beam
