"""A quantity as people type it, `1.5mm` or `500um`, in the units of the device that it is for.

pint loads slowly, so only units that are not the device's own pay for it.
"""

from __future__ import annotations

import contextlib
import functools
import re
from typing import TYPE_CHECKING, Any

from daq.core import DeviceParameter, ParameterError, parse_scalar

if TYPE_CHECKING:
    import pint

__all__ = ["setting_text", "to_units"]

_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S.{0,40})", re.DOTALL)


def to_units(text: str, units: str, what: str, *, is_distance: bool = False) -> float:
    """The number that a text means for somebody who counts in `units`.

    Args:
        text: A number, which is in `units` already, or one with units: `1.5mm`, `2 cm/s`.
        units: What the number is wanted in.
        what: Of what, for the error: `stage: the position`.
        is_distance: It is a difference: no zero of a scale (20 degC) may come in.

    Returns:
        The number in `units`.

    Raises:
        ParameterError: It is no quantity, or its units do not fit.
    """
    try:
        return float(text)
    except ValueError:
        found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ParameterError(f"{what} takes a number{_in(units)}, not {text!r}; nothing was sent")
    number, given = float(found[1]), found[2].strip()
    if given == units:
        return number
    example = f"such as {found[1]} {units}".rstrip() if given[0] != "," else "write 1.5, not 1,5"
    misfit = ParameterError(
        f"{what} is{_in(units) or ' a number without units'}: {text.strip()!r} does not fit; "
        "nothing was sent",
        advice=example,
    )
    if not units:
        raise misfit
    return _converted(number, given, units, misfit, is_distance=is_distance)


def setting_text(parameter: DeviceParameter, text: str, device: str) -> str:
    """What is sent to set a parameter: quantities in its units, `open` and `closed` as a truth."""
    if parameter.dtype == "bool" and text in parameter.words:
        return "true" if text == parameter.words[1] else "false"
    if not parameter.is_number:
        return text
    if parameter.dtype == "int":
        with contextlib.suppress(ValueError):
            return str(parse_scalar(text, "int"))  # exact, also beyond what a float can tell
    value = to_units(text, parameter.units, f"{device}: {parameter.name}")
    if parameter.dtype == "int" and value.is_integer():
        return str(int(value))
    return repr(value)


def _in(units: str) -> str:
    return f" in {units}" if units else ""


def _converted(
    number: float, given: str, units: str, misfit: ParameterError, *, is_distance: bool
) -> float:
    registry = _registry()
    try:
        source, target = registry.parse_units(given), registry.parse_units(units)
        # By what they are made of in the end, and not by dimension: for pint a degree, a count, a
        # percent and a radian are all mere numbers, and an rpm is a tenth of a Hz.
        if registry.get_root_units(source)[1] != registry.get_root_units(target)[1]:
            raise misfit
        if is_distance and registry.Quantity(0.0, source).to(target).magnitude != 0.0:
            raise misfit
        # 500 nm are 0.0005 mm, and not 0.0005000000000000001.
        return float(f"{registry.Quantity(number, source).to(target).magnitude:.15g}")
    except ParameterError:
        raise
    except Exception as error:  # pint's own, and those of the tokenizer that it gives texts to
        raise misfit from error


@functools.cache
def _registry() -> pint.UnitRegistry[Any]:
    import pint

    registry: pint.UnitRegistry[Any] = pint.UnitRegistry(autoconvert_offset_to_baseunit=True)
    registry.define("@alias ohm = Ohm")
    registry.define("@alias torr = Torr")
    return registry
