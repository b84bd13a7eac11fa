"""Values as source text of a script, and back from the text that a script hands out."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from daq.core import ParameterError
from daq.core.values import from_json, plain

__all__ = ["NUMPY", "device_name", "handed_out", "literal", "target_name"]

NUMPY = "daq_numpy"
"""What numpy is called in the text of an array."""

_LITERAL = (type(None), bool, int, str, bytes)
_NUMBERS = {"nan": math.nan, "inf": math.inf}
_DEEPEST = 40


def literal(value: Any, depth: int = 0) -> str:
    """Source text that makes the value again in a script; a device becomes `device("id")`.

    What has no literal is sent by the rule of `daq.core.values`.

    Returns:
        Such as `[1, 2.5, device("stage")]`.

    Raises:
        ParameterError: That rule refuses it, or it is nested too deeply.
    """
    if depth > _DEEPEST:
        raise ParameterError("a value is nested too deeply to be sent to a script")
    if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind in "biufc":
        numbers = literal(value.reshape(-1).tolist(), depth + 1)
        return f"{NUMPY}.array({numbers}, {value.dtype.str!r}).reshape({value.shape!r})"
    match value:
        case None | bool() | int() | str() | bytes():
            return repr(value) if type(value) in _LITERAL else literal(plain(value), depth + 1)
        case float():
            number = float(value)  # numpy's float64 is one as well, with a repr of its own
            return repr(number) if math.isfinite(number) else f'float("{number}")'
        case complex():
            return f"complex({literal(value.real)}, {literal(value.imag)})"
        case list() | tuple() | range():
            inside = ", ".join(literal(item, depth + 1) for item in value)
            return f"[{inside}]" if isinstance(value, list) else f"({inside},)"
        case Mapping():
            items = [f"{literal(k, depth + 1)}: {literal(v, depth + 1)}" for k, v in value.items()]
            return "{" + ", ".join(items) + "}"
    if (name := device_name(value)) is not None:
        return f"device({name!r})"
    return literal(plain(value, f"a {type(value).__name__} for a script"), depth + 1)


def device_name(value: object) -> str | None:
    """The id of a device of the bench, or the id itself; None for anything else."""
    if isinstance(value, str):
        return value
    name = getattr(value, "name", None)
    return name if isinstance(name, str) and hasattr(value, "capabilities") else None


def target_name(target: object) -> str:
    """The id of a device, or `device.parameter` of a parameter's value.

    Args:
        target: A device, the value of a parameter, or an id.

    Returns:
        What the daemon calls it.

    Raises:
        ParameterError: It is none of these.
    """
    name = getattr(target, "axis", None) or device_name(target)
    if not isinstance(name, str):
        raise ParameterError(
            f"{target!r:.80} is no device", advice="give devices of the bench, or their ids"
        )
    return name


class _Numbers(ast.NodeTransformer):
    """`nan` and `inf`, which have no literal, as the constants that they are."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in _NUMBERS:
            return ast.copy_location(ast.Constant(_NUMBERS[node.id]), node)
        return node


def handed_out(text: str) -> Any:
    """The one value in a list that a script handed out: as JSON, or by an older daemon as `repr`.

    Returns:
        The value.

    Raises:
        ValueError: It is neither.
    """
    try:
        values = from_json(text)
    except ValueError:
        values = _parse_literal(text)
    if not isinstance(values, list) or len(values) != 1:
        raise ValueError(f"no plain value was handed out: {text[:80]!r}")
    return values[0]


def _parse_literal(text: str) -> Any:
    try:
        return ast.literal_eval(_Numbers().visit(ast.parse(text, mode="eval")))
    except (SyntaxError, RecursionError) as error:
        raise ValueError(f"not a plain value: {text[:80]!r}") from error
