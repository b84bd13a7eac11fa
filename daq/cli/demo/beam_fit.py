"""The waist of a beam from a knife-edge scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.special import erfc

from daq.core import DaqError

__all__ = ["BeamFit", "fit_knife_edge", "transmitted"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BeamFit:
    """What a knife-edge scan tells about a Gaussian beam; lengths in the scan's own units."""

    waist: float
    """Radius at which the intensity has fallen to 1/e² of that on the axis."""
    waist_error: float
    """One standard deviation, from the scatter of the points."""
    centre: float
    power: float
    """Without the edge."""
    background: float
    falling: bool
    """Whether the edge covers the beam as the position grows."""

    def curve(self, position: Array) -> Array:
        """The power that the fitted beam leaves at each position of the edge."""
        power = self.power if self.falling else -self.power
        background = self.background if self.falling else self.background + self.power
        return transmitted(position, power, self.centre, self.waist, background)


def transmitted(
    position: Array, power: float, centre: float, waist: float, background: float
) -> Array:
    """Power of a Gaussian beam behind an edge that covers it from below `position`."""
    covered = erfc(np.sqrt(2) * (position - centre) / waist)
    return np.asarray(background + power / 2 * covered, dtype=np.float64)


def fit_knife_edge(position: Array, power: Array) -> BeamFit:
    """Fit the error function. Raises DaqError when the data show no edge."""
    if len(position) < 5 or np.ptp(power) <= 0 or np.ptp(position) <= 0:
        raise DaqError(f"{len(position)} points with a spread of {np.ptp(power):g} hold no edge")
    order = np.argsort(position)
    x, y = position[order], power[order]
    falling = bool(y[0] > y[-1])
    first = _first_guess(x, y, falling=falling)
    try:
        best, covariance = curve_fit(transmitted, x, y, p0=first, xtol=1e-12, ftol=1e-12)
    except (RuntimeError, OptimizeWarning) as error:
        raise DaqError(f"no error function fits the scan: {error}") from error
    amplitude, centre, waist, background = (float(value) for value in best)
    return BeamFit(
        waist=abs(waist),
        waist_error=float(np.sqrt(covariance[2, 2])),
        centre=centre,
        power=abs(amplitude),
        background=background if falling else background - abs(amplitude),
        falling=falling,
    )


def _first_guess(x: Array, y: Array, *, falling: bool) -> list[Any]:
    """Amplitude, centre, waist and background as the 16, 50 and 84 % levels suggest them."""
    span = float(np.ptp(y))
    level = (y - y.min()) / span
    rising = level[::-1] if falling else level
    positions = x[::-1] if falling else x
    low, middle, high = np.interp([0.16, 0.5, 0.84], np.maximum.accumulate(rising), positions)
    waist = max(abs(high - low), float(np.ptp(x)) / len(x))
    amplitude = span if falling else -span
    background = float(y.min()) if falling else float(y.max())
    return [amplitude, float(middle), waist, background]
