"""Small makers of syntax trees, and searches in them."""

from __future__ import annotations

import ast
from typing import TypeVar

__all__ = ["assigned_names", "call", "imported_names", "load", "main_function", "placed"]

_Node = TypeVar("_Node", bound=ast.AST)


def load(name: str) -> ast.Name:
    """The value of a name."""
    return ast.Name(name, ast.Load())


def call(function: str, *arguments: ast.expr) -> ast.Call:
    """A call of a function by name."""
    return ast.Call(load(function), list(arguments), [])


def placed(node: _Node, at: ast.AST) -> _Node:
    """The new node, at the place in the source of an old one."""
    return ast.fix_missing_locations(ast.copy_location(node, at))


def main_function(tree: ast.Module) -> ast.FunctionDef | None:
    """The `main` that declares the script's parameters; the last one, as Python would have it."""
    found = [s for s in tree.body if isinstance(s, ast.FunctionDef) and s.name == "main"]
    return found[-1] if found else None


def assigned_names(tree: ast.AST) -> frozenset[str]:
    """Every name that is bound anywhere in the source, in whatever scope."""
    names: set[str] = set()
    for node in ast.walk(tree):
        names.update(_bound_by(node))
    return frozenset(names)


def imported_names(tree: ast.AST) -> dict[str, str]:
    """Names that imports bind and nothing else: each with the full name of what it stands for."""
    imported: dict[str, str] = {}
    others: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    root = alias.name.split(".")[0]
                    imported[alias.asname or root] = alias.name if alias.asname else root
            case ast.ImportFrom(module=str(module), names=aliases):
                imported |= {a.asname or a.name: f"{module}.{a.name}" for a in aliases}
            case ast.alias():
                pass
            case _:
                others.update(_bound_by(node))
    return {name: title for name, title in imported.items() if name not in others}


def _bound_by(node: ast.AST) -> list[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            return [name]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.arg(arg=name):
            return [name]
        case ast.alias(name=name, asname=alias):
            return [alias or name.split(".")[0]]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            return [name]
        case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
            return [name]
        case _:
            return []
