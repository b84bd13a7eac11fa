"""What `main` declares: names, types and defaults."""

from __future__ import annotations

import ast
from typing import Any

from daq.core import ScriptParameter
from daq.scripting.policy.rules import Finding

__all__ = ["declared_parameters"]

_UNSET = object()


def declared_parameters(main: ast.FunctionDef) -> tuple[tuple[ScriptParameter, ...], list[Finding]]:
    """The parameters of `main`, and why it cannot be started with them."""
    arguments = main.args
    findings: list[Finding] = [
        (node, "POLICY", f"'{node.arg}': main() takes plain named parameters, not {kind}")
        for node, kind in [
            *((positional, "positional-only ones") for positional in arguments.posonlyargs),
            *([(arguments.vararg, "'*'")] if arguments.vararg else []),
            *([(arguments.kwarg, "'**'")] if arguments.kwarg else []),
        ]
    ]
    required = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    defaults = [None] * required + list(arguments.defaults) + list(arguments.kw_defaults)
    names = arguments.posonlyargs + arguments.args + arguments.kwonlyargs
    parameters = []
    for node, default in zip(names, defaults, strict=True):
        value = _UNSET if default is None else _literal(default)
        if value is _UNSET and default is not None:
            findings.append((default, "POLICY", _not_literal(node.arg)))
        parameters.append(_parameter(node, value))
    return tuple(parameters), findings


def _parameter(node: ast.arg, default: Any) -> ScriptParameter:
    annotation = ast.unparse(node.annotation) if node.annotation else ""
    if default is _UNSET:
        return ScriptParameter(node.arg, annotation)
    return ScriptParameter(node.arg, annotation, required=False, default=default)


def _not_literal(name: str) -> str:
    return (
        f"the default of '{name}' must be a literal: a number, a text, True, False, None or a list"
    )


def _literal(node: ast.expr) -> Any:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return _UNSET
    return _as_plain(value)


def _as_plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        items = [_as_plain(item) for item in value]
        return _UNSET if _UNSET in items else items
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return _UNSET
    return value if value is None or isinstance(value, bool | int | float | str) else _UNSET
