"""Where a script can be stopped, paused and followed: checkpoints, line marks and progress.

A checkpoint is `if _halt_: _checkpoint_(line)`. `_halt_` is a plain global that a signal handler
sets: measured, it is the cheapest test that there is. Checkpoints stand at the head of loops and
functions, and in every request; never between two statements, so that nothing can come between
`shutter.open()` and the `try:` that follows.
"""

# ruff: noqa: N802 - the names of visitors are given by the nodes

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from daq.scripting.policy.nodes import assigned_names, call, load, main_function, placed
from daq.scripting.policy.rules import LanguageRules
from daq.scripting.vocabulary import PLANS

__all__ = ["ScriptTransformer"]

_Loop = ast.For | ast.While
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
_TRANSPARENT = frozenset({"enumerate", "reversed", "zip"})
"""Calls without a length of their own: progress follows their first argument."""


class ScriptTransformer(LanguageRules):
    """The whole policy: the rules, and what makes a script stoppable and visible."""

    def __init__(self, modules: Mapping[str, frozenset[str]], tree: ast.Module) -> None:
        super().__init__(modules, tree)
        self._main = main_function(tree)
        followed = self._main.body if self._main else tree.body
        self._loops = _followed_loops(followed)
        self._plans = PLANS - assigned_names(tree)
        self._plain_iterators = _TRANSPARENT - assigned_names(tree)
        self.segments = self._count_segments(followed)

    # Checkpoints

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        is_main = node is self._main
        super().visit_FunctionDef(node)
        if is_main:
            node.body = _marked(node.body)
        node.body.insert(0, _checkpoint(node))
        return node

    def visit_While(self, node: ast.While) -> ast.AST:
        self.node_contents_visit(node)
        node.body.insert(0, _checkpoint(node))
        return node

    def visit_For(self, node: ast.For) -> ast.AST:
        segments = self._count_segments(node.body) if node in self._loops else None
        self.node_contents_visit(node)
        if segments is not None:
            self._track(node, segments)
        node.body.insert(0, _checkpoint(node))
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.node_contents_visit(node)
        line = getattr(node.iter, "lineno", 1)
        test = ast.BoolOp(
            ast.Or(),
            [
                ast.UnaryOp(ast.Not(), load("_halt_")),
                call("_checkpoint_", ast.Constant(line)),
            ],
        )
        node.ifs.insert(0, placed(test, node.iter))
        return node

    # A stop must not be swallowed.

    def visit_Try(self, node: ast.Try) -> ast.AST:
        for statement in node.finalbody:
            self._refuse_jumps(statement, inside_loop=False)
        self.node_contents_visit(node)
        if node.handlers:
            handler = ast.ExceptHandler(load("_ScriptStop_"), None, [ast.Raise()])
            node.handlers.insert(0, placed(handler, node))
        return node

    def _refuse_jumps(self, node: ast.AST, *, inside_loop: bool) -> None:
        if isinstance(node, _Definition):
            return
        leaves_loop = isinstance(node, ast.Break | ast.Continue) and not inside_loop
        if isinstance(node, ast.Return) or leaves_loop:
            word = type(node).__name__.lower()
            self.error(node, f"'{word}' inside 'finally' would swallow errors and stop requests")
        for child in ast.iter_child_nodes(node):
            self._refuse_jumps(child, inside_loop=inside_loop or isinstance(node, _Loop))

    # Line and progress

    def visit_Module(self, node: ast.Module) -> ast.AST:
        self.node_contents_visit(node)
        node.body = _marked(node.body)
        return node

    def _track(self, node: ast.For, segments: int) -> None:
        iterable = node.iter
        match iterable:
            case ast.Call(func=ast.Name(id=name), args=[ast.expr() as first, *rest]) if (
                name in self._plain_iterators and not isinstance(first, ast.Starred)
            ):
                iterable.args = [_tracked(first, segments), *rest]
            case _:
                node.iter = _tracked(iterable, segments)

    def _count_segments(self, body: Sequence[ast.stmt]) -> int:
        """How many loops and plans stand one after the other; each has an equal share."""
        count = 0
        for node in body:
            if isinstance(node, ast.For):
                count += 1
            elif not isinstance(node, _Definition | ast.While):
                count += sum(self._is_plan(child) for child in ast.iter_child_nodes(node))
                count += self._count_segments(_statements_of(node))
        return count

    def _is_plan(self, node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in self._plans
        )


def _followed_loops(body: Sequence[ast.stmt]) -> set[ast.For]:
    """The loops that progress follows: not those in functions, nor in `while`, which has no end."""
    found: set[ast.For] = set()
    for node in body:
        if isinstance(node, ast.For):
            found.add(node)
        if not isinstance(node, _Definition | ast.While):
            found |= _followed_loops(_statements_of(node))
    return found


def _tracked(iterable: ast.expr, segments: int) -> ast.expr:
    return placed(call("_track_", iterable, ast.Constant(segments)), iterable)


def _checkpoint(node: ast.stmt) -> ast.stmt:
    jump = ast.Expr(call("_checkpoint_", ast.Constant(node.lineno)))
    return placed(ast.If(load("_halt_"), [jump], []), node)


def _statements_of(node: ast.AST) -> list[ast.stmt]:
    """The statements inside of a compound statement that is not a loop or a definition."""
    found: list[ast.stmt] = []
    for name in ("body", "handlers", "orelse", "finalbody", "cases"):
        for child in getattr(node, name, None) or ():
            found += [child] if isinstance(child, ast.stmt) else _statements_of(child)
    return found


def _marked(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements, each with its line marked before it; inside of loops that would cost."""
    result: list[ast.stmt] = []
    for statement in body:
        if not isinstance(statement, ast.Pass) and not _is_docstring(statement):
            slot = ast.Subscript(load("_words_"), ast.Constant(1), ast.Store())
            result.append(placed(ast.Assign([slot], ast.Constant(statement.lineno)), statement))
        if not isinstance(statement, _Definition | _Loop):
            _mark_inside(statement)
        result.append(statement)
    return result


def _mark_inside(node: ast.AST) -> None:
    for name in ("body", "orelse", "finalbody"):
        inner = getattr(node, name, None)
        if isinstance(inner, list) and inner and isinstance(inner[0], ast.stmt):
            setattr(node, name, _marked(inner))
    for child in [*getattr(node, "handlers", ()), *getattr(node, "cases", ())]:
        _mark_inside(child)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
