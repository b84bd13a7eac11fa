"""Plain values as source text of a script, and back from the text that a script hands out."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from typing import Any

from daq.core import ParameterError

__all__ = ["device_name", "literal", "parse_literal"]

_NUMBERS = {"nan": math.nan, "inf": math.inf}
_DEEPEST = 40


def literal(value: Any, depth: int = 0) -> str:
    """Source text that makes the value again in a script; a device becomes `device("id")`.

    Raises ParameterError for what is no plain data.
    """
    if depth > _DEEPEST:
        raise ParameterError("a value is nested too deeply to be sent to a script")
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        value = value.tolist()
    match value:
        case None | bool() | int() | str() | bytes():
            return repr(value)
        case float():
            return repr(value) if math.isfinite(value) else f'float("{value}")'
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
    raise ParameterError(
        f"a {type(value).__name__} cannot be sent to a script",
        advice="send numbers, texts, lists, dicts, arrays or devices",
    )


def device_name(value: object) -> str | None:
    """The id of a device of the bench, or the id itself; None for anything else."""
    if isinstance(value, str):
        return value
    name = getattr(value, "name", None)
    return name if isinstance(name, str) and hasattr(value, "capabilities") else None


class _Numbers(ast.NodeTransformer):
    """`nan` and `inf`, which have no literal, as the constants that they are."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in _NUMBERS:
            return ast.copy_location(ast.Constant(_NUMBERS[node.id]), node)
        return node


def parse_literal(text: str) -> Any:
    """The value whose `repr` a script handed out. Raises ValueError when it is no plain data."""
    try:
        return ast.literal_eval(_Numbers().visit(ast.parse(text, mode="eval")))
    except (SyntaxError, RecursionError) as error:
        raise ValueError(f"not a plain value: {text[:80]!r}") from error
