"""The value of a parameter that knows whose it is, so that it can be scanned."""

from __future__ import annotations

from typing import Self

__all__ = ["AxisValue"]


class AxisValue(float):
    """A number as any other, and an axis: `scan([meter], laser.wavelength, 750, 850, 11)`."""

    axis: str
    """Whose value it is: `laser.wavelength`."""

    def __new__(cls, value: float, axis: str) -> Self:
        number = super().__new__(cls, value)
        number.axis = axis
        return number

    def __reduce__(self) -> tuple[type[AxisValue], tuple[float, str]]:
        return AxisValue, (float(self), self.axis)
