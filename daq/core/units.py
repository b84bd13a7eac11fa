"""Limits and quantities as people read them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from numbers import Real
from typing import Self, cast

from daq.core.errors import LimitError

__all__ = [
    "Limits",
    "Quantity",
    "Scalar",
    "axis_label",
    "format_quantity",
    "format_time",
    "scaled_units",
]

Scalar = bool | int | float | str
"""A plain value, as parameters and cached state are made of."""

_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}
_SCALED = frozenset({"W", "V", "A", "Hz", "s", "J", "Ohm", "F", "T", "N", "Pa", "S/s"})


@dataclass(frozen=True, slots=True)
class Limits:
    """A closed range of values that a device accepts."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"limits are [low, high], not [{self.low:g}, {self.high:g}]")

    def __contains__(self, value: object) -> bool:
        # Real, for numpy's numbers too: np.float32 is no float.
        return isinstance(value, Real) and self.low <= cast("float", value) <= self.high

    def __str__(self) -> str:
        return f"[{self.low:g}, {self.high:g}]"

    def require(self, device: str, quantity: str, value: float, units: str) -> None:
        """Raise LimitError for a value outside; to be called before anything is changed."""
        if value not in self:
            raise LimitError.outside(device, quantity, value, self.low, self.high, units)


class Quantity(float):
    """A number that knows its units; what is calculated with it is a number as any other."""

    __slots__ = ("units",)

    units: str

    def __new__(cls, value: float, units: str) -> Self:
        """A number and its units, such as `nm`."""
        quantity = super().__new__(cls, value)
        quantity.units = units
        return quantity

    def __reduce__(self) -> tuple[type[Quantity], tuple[float, str]]:
        return Quantity, (float(self), self.units)


def axis_label(name: str, units: str) -> str:
    """`stage (mm)`; the name alone for what has no units."""
    return f"{name} ({units})" if units else name


def format_time(timestamp_ns: int) -> str:
    """`2025-03-01 12:00:00` in the local time zone, of ns since the epoch; empty for 0."""
    if not timestamp_ns:
        return ""
    return f"{datetime.fromtimestamp(timestamp_ns / 1e9, UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def scaled_units(largest: float, units: str) -> tuple[float, str]:
    """The factor and the units in which numbers up to `largest` are handy: `1e3, "mW"`.

    Units without SI prefixes, such as `deg`, stay as they are.
    """
    if units not in _SCALED or largest == 0 or not math.isfinite(largest):
        return 1.0, units
    exponent = _exponent(float(f"{largest:.3g}"))  # 0.99999 mW is 1 mW, not 999.99 µW
    return 10.0**-exponent, f"{_PREFIXES[exponent]}{units}"


def _exponent(value: float) -> int:
    """Of the prefix with which a number is handy."""
    return min(max(3 * math.floor(math.log10(abs(value)) / 3), -15), 12)


def format_quantity(value: float, units: str, digits: int = 4) -> str:
    """`0.00123, "W"` as `1.23 mW`; units without SI prefixes, such as `deg`, stay as they are."""
    if units not in _SCALED or value == 0 or not math.isfinite(value):
        return f"{value:.{digits}g} {units}".rstrip()
    # Rounded first: 999.97 mW to four digits is 1 W, not 1000 mW.
    rounded = float(f"{value:.{digits}g}")
    exponent = _exponent(rounded)
    return f"{value / 10.0**exponent:.{digits}g} {_PREFIXES[exponent]}{units}"
