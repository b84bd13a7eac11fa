"""What an interlock makes of a block of samples: two numbers to be judged, or the reason why not.

The rule, for any value that a channel can carry: numbers and truth values (0 and 1) are judged by
their extremes, complex numbers by those of their magnitude, arrays by those of all their elements.
Text, nothing at all, an empty array and objects cannot be judged, and that trips.
"""

from __future__ import annotations

import numpy as np

from daq.core import Measurement

__all__ = ["CannotJudgeError", "extremes"]


class CannotJudgeError(ValueError):
    """There is nothing in the block that could be compared with a limit; says what is there."""


def extremes(block: Measurement) -> tuple[float, float]:
    """Give the lowest and the highest value of a block; both NaN when one of them is NaN.

    Raises:
        CannotJudgeError: It holds no numbers.
    """
    values = np.asarray(block.values)
    if values.dtype.kind == "O":
        values = _unwrapped(values)
    if values.dtype.kind not in "biufc":
        raise CannotJudgeError("text" if values.dtype.kind in "US" else f"{values.dtype}")
    if values.size == 0:
        raise CannotJudgeError("an empty array")
    if values.dtype.kind == "c":
        values = np.abs(values)
    return float(np.min(values)), float(np.max(values))


def _unwrapped(values: np.ndarray) -> np.ndarray:
    """What Python objects amount to, where they are numbers after all."""
    items = [item for item in values.reshape(-1).tolist() if not isinstance(item, np.ndarray)]
    arrays = [item.reshape(-1) for item in values.reshape(-1) if isinstance(item, np.ndarray)]
    if any(item is None for item in items):
        raise CannotJudgeError("nothing (None)")
    if any(isinstance(item, str | bytes) for item in items):
        raise CannotJudgeError("text")
    try:
        return np.concatenate([np.asarray(items), *arrays]) if arrays else np.asarray(items)
    except (ValueError, TypeError) as error:
        raise CannotJudgeError(f"objects ({error})") from error
