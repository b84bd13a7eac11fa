"""Typed settings: a device's parameters, and what a script's `main` declares."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daq.core.errors import ParameterError
from daq.core.units import Limits

__all__ = [
    "DeviceParameter",
    "Scalar",
    "ScriptParameter",
    "convert_parameters",
    "parse_scalar",
    "signature",
]

Scalar = bool | int | float | str

_TYPES: dict[str, type[Scalar]] = {"bool": bool, "int": int, "float": float, "str": str}
_SERIES = frozenset({"list", "tuple", "Sequence"})
_ACCEPTED: dict[str, type | tuple[type, ...]] = {
    **_TYPES,
    **dict.fromkeys(_SERIES, (list, tuple)),
}
_OPTIONAL = re.compile(r"(.+?)\s*\|\s*None|None\s*\|\s*(.+)|Optional\[(.+)\]")
_TRUTH = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


@dataclass(frozen=True, slots=True)
class DeviceParameter:
    """A named setting of a device."""

    name: str
    dtype: str
    """`bool`, `int`, `float` or `str`."""
    description: str = ""
    units: str = ""
    readable: bool = True
    writable: bool = True
    limits: Limits | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScriptParameter:
    """One parameter of a script's `main`."""

    name: str
    annotation: str = ""
    """`float`, `int`, `bool`, `str`, another annotation as written, or empty."""
    required: bool = True
    default: Any = None
    """A plain value when `required` is False."""

    def __str__(self) -> str:
        text = f"{self.name}: {self.annotation}" if self.annotation else self.name
        if self.required:
            return text
        return f"{text} = {self.default!r}" if self.annotation else f"{text}={self.default!r}"


def signature(parameters: Sequence[ScriptParameter]) -> str:
    """`main(start: float = -2.0, points: int = 41)`."""
    return f"main({', '.join(str(p) for p in parameters)})"


def parse_scalar(text: str, dtype: str) -> Scalar:
    """Convert `text` to `dtype` (`bool`, `int`, `float` or `str`); raises ValueError."""
    if dtype not in _TYPES:
        raise ValueError(f"{dtype!r} is not one of {', '.join(_TYPES)}")
    if dtype == "bool":
        try:
            return _TRUTH[text.strip().lower()]
        except KeyError:
            raise ValueError(f"{text!r} is not one of true, false, yes, no, on, off") from None
    if dtype == "int":
        return int(text.strip().replace("_", ""), 0)
    return _TYPES[dtype](text) if dtype != "str" else text


def _declared_type(parameter: ScriptParameter) -> tuple[str, bool]:
    """Its type without `| None`, by annotation or else by default, and whether None is one too."""
    annotation = parameter.annotation
    optional = _OPTIONAL.fullmatch(annotation)
    if optional:
        annotation = next(part for part in optional.groups() if part)
    name = annotation.partition("[")[0].strip()
    if name not in _TYPES and name not in _SERIES and not parameter.required:
        name = type(parameter.default).__name__
    return name, optional is not None or (not parameter.required and parameter.default is None)


def _convert(parameter: ScriptParameter, value: Any) -> Any:
    dtype, may_be_none = _declared_type(parameter)
    if may_be_none and (value is None or value == "None"):
        return None
    if isinstance(value, str):
        return _convert_text(value, dtype)
    if dtype == "float" and type(value) is int:
        return float(value)
    if not isinstance(value, _ACCEPTED.get(dtype, object)) or (
        isinstance(value, bool) and dtype in ("int", "float")
    ):
        raise ValueError(f"{value!r} is {type(value).__name__}")
    return value


def _convert_text(text: str, dtype: str) -> Any:
    if dtype not in _SERIES:
        return parse_scalar(text, dtype if dtype in _TYPES else "str")
    try:
        series = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(series, list):
        raise ValueError(f"{text!r} is no list")  # noqa: TRY004 - of text, so a wrong value
    return series


def convert_parameters(
    declared: Sequence[ScriptParameter], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Check and convert what a caller gave (often strings) against what `main` declares.

    Text for a list is JSON, such as `[1, 2, 3]`; `None` is None where the declaration allows it.

    Raises ParameterError that names everything wrong at once and shows the signature.
    """
    by_name = {p.name: p for p in declared}
    problems = [f"there is no parameter {name!r}" for name in given if name not in by_name]
    converted: dict[str, Any] = {}
    for parameter in declared:
        if parameter.name not in given:
            if parameter.required:
                problems.append(f"{parameter.name!r} has no default and was not given")
            else:
                converted[parameter.name] = parameter.default
            continue
        value = given[parameter.name]
        try:
            converted[parameter.name] = _convert(parameter, value)
        except ValueError:
            expected = parameter.annotation or type(parameter.default).__name__
            problems.append(f"{parameter.name!r} takes {expected}, not {value!r:.80}")
    if problems:
        raise ParameterError(
            "; ".join(problems), advice=f"the script declares {signature(declared)}"
        )
    return converted
