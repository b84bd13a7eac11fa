"""Texts and units in pictures: text is never mathematics, and units are as displayed elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daq.core import axis_label, scaled_units

__all__ = ["Labelled", "Scale", "safe_text"]

Array = npt.NDArray[np.float64]

_LONGEST = 60


@dataclass(frozen=True, slots=True)
class Labelled:
    """What is drawn along an axis or as a colour of a live picture."""

    name: str
    units: str = ""

    def scale(self, values: Array) -> Scale:
        """Its label and the units in which these values are handy."""
        return Scale(self.name, self.units, values)


class Scale:
    """One axis of a picture: a name, and the units in which its numbers are handy."""

    def __init__(self, name: str, units: str, values: Array) -> None:
        finite = values[np.isfinite(values)]
        largest = float(np.abs(finite).max()) if finite.size else 0.0
        self.factor, self.units = scaled_units(largest, units)
        self.label = axis_label(safe_text(name), safe_text(self.units))

    def __call__(self, values: Array) -> Array:
        """The numbers in the units of the label."""
        return values * self.factor


def safe_text(text: object) -> str:
    """Text as it is, on one line and not endless: a `$` in it begins no formula."""
    line = " ".join(str(text).split())
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST - 3]}..."
    return line.replace("$", r"\$")
