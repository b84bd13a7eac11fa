"""What a script's `main` declares, and what a caller gives for it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from daq.core.errors import ParameterError
from daq.core.parameters import DTYPES, parse_scalar

__all__ = ["ScriptParameter", "convert_parameters", "signature"]

_SERIES = frozenset({"list", "tuple", "Sequence"})
_ACCEPTED: dict[str, type | tuple[type, ...]] = {
    **DTYPES,
    **dict.fromkeys(_SERIES, (list, tuple)),
}
_OPTIONAL = re.compile(r"(.+?)\s*\|\s*None|None\s*\|\s*(.+)|Optional\[(.+)\]")


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


def _declared_type(parameter: ScriptParameter) -> tuple[str, bool]:
    """Its type without `| None`, by annotation or else by default, and whether None is one too."""
    annotation = parameter.annotation
    optional = _OPTIONAL.fullmatch(annotation)
    if optional:
        annotation = next(part for part in optional.groups() if part)
    name = annotation.partition("[")[0].strip()
    if name not in DTYPES and name not in _SERIES and not parameter.required:
        name = type(parameter.default).__name__
    return name, optional is not None or (not parameter.required and parameter.default is None)


def _convert(parameter: ScriptParameter, value: Any) -> Any:
    dtype, may_be_none = _declared_type(parameter)
    if may_be_none and (value is None or value == "None"):
        return None
    if isinstance(value, str):
        return _convert_text(value, dtype)
    if isinstance(value, np.ndarray) and dtype in _SERIES:
        return value.tolist()
    if dtype == "float" and type(value) is int:
        return float(value)
    if dtype == "str" and isinstance(value, int | float):
        return str(value)
    if not isinstance(value, _ACCEPTED.get(dtype, object)) or (
        isinstance(value, bool) and dtype in ("int", "float")
    ):
        raise ValueError(f"{value!r} is {type(value).__name__}")
    return value


def _convert_text(text: str, dtype: str) -> Any:
    if dtype not in _SERIES:
        return parse_scalar(text, dtype if dtype in DTYPES else "str")
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
