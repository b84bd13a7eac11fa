"""What `main` declares: names, types and defaults."""

from __future__ import annotations

import ast
from typing import Any

from daq.core import OverloadError, ScriptParameter, brief, require_small
from daq.scripting.policy.rules import Finding

__all__ = ["declared_parameters"]

MAX_PARAMETERS = 200
MAX_DEFAULT_ITEMS = 1000
MAX_DEFAULT_CHARACTERS = 10_000
MAX_DEFAULT_DEPTH = 8
"""What `main` declares is shown in every list of scripts, and filled into forms."""

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
    if len(names) > MAX_PARAMETERS:
        found = f"main() has {len(names)} parameters, the limit is {MAX_PARAMETERS}"
        return (), [*findings, (names[MAX_PARAMETERS], "SIZE", found)]
    parameters = []
    for node, default in zip(names, defaults, strict=True):
        value = _UNSET if default is None else _literal(default)
        if value is _UNSET and default is not None:
            findings.append((default, "POLICY", _not_literal(node.arg)))
        elif too_large := _too_large(node.arg, value):
            findings.append((default or node, "SIZE", too_large))
        parameters.append(_parameter(node, value))
    return tuple(parameters), findings


def _parameter(node: ast.arg, default: Any) -> ScriptParameter:
    annotation = brief(ast.unparse(node.annotation)) if node.annotation else ""
    if default is _UNSET:
        return ScriptParameter(node.arg, annotation)
    return ScriptParameter(node.arg, annotation, required=False, default=default)


def _too_large(name: str, default: Any) -> str:
    try:
        require_small(
            default,
            f"the default of '{name}'",
            items=MAX_DEFAULT_ITEMS,
            characters=MAX_DEFAULT_CHARACTERS,
            depth=MAX_DEFAULT_DEPTH,
        )
    except OverloadError as error:
        return error.message.partition(";")[0]
    return ""


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
