"""What scripts may say: one rule per kind of statement or expression."""

# ruff: noqa: N802 - the names of visitors are given by the nodes

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from RestrictedPython.transformer import (
    INSPECT_ATTRIBUTES,
    IOPERATOR_TO_STR,
    RestrictingNodeTransformer,
)

from daq.core import did_you_mean
from daq.scripting.policy.nodes import (
    assigned_names,
    call,
    imported_names,
    load,
    main_function,
    placed,
)
from daq.scripting.vocabulary import HINTS, NAMES, no_such_module, no_such_name

__all__ = ["Finding", "LanguageRules"]

_MAGIC_METHODS = frozenset(
    """__init__ __call__ __len__ __iter__ __next__ __getitem__ __contains__ __repr__ __str__
    __bool__ __hash__ __lt__ __le__ __eq__ __ne__ __gt__ __ge__ __neg__ __abs__ __add__ __radd__
    __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __pow__ __mod__""".split()  # noqa: SIM905
)
_SYNCHRONOUS = "scripts are synchronous, instrument calls wait by themselves; drop"
_NO_TYPE_PARAMETERS = "type parameters are not part of the script language; drop them"
_REFUSED = {
    "AsyncFor": f"{_SYNCHRONOUS} 'async'",
    "AsyncFunctionDef": f"{_SYNCHRONOUS} 'async'",
    "AsyncWith": f"{_SYNCHRONOUS} 'async'",
    "Await": f"{_SYNCHRONOUS} 'await'",
    "ParamSpec": _NO_TYPE_PARAMETERS,
    "TryStar": "'except*' is not part of the script language; use 'except'",
    "TypeAlias": "type aliases are not part of the script language; drop it",
    "TypeVar": _NO_TYPE_PARAMETERS,
    "TypeVarTuple": _NO_TYPE_PARAMETERS,
}
Finding = tuple[ast.AST, str, str]
"""Where, which code, and what."""


class LanguageRules(RestrictingNodeTransformer):
    """Refuses what the language has not, and rewrites what must be guarded.

    Differs from the stock rules where those would hurt: every violation is reported, a refused node
    is kept so that those inside of it are found too, `a = b = f()` calls `f` once, and augmented
    assignments, annotations, `match` and `nonlocal` work.
    """

    def __init__(self, modules: Mapping[str, frozenset[str]], tree: ast.Module) -> None:
        super().__init__()
        self.findings: list[Finding] = []
        self._modules = modules
        self._in_class = False
        self._known = NAMES | assigned_names(tree)
        self._imported = imported_names(tree)
        # `if __name__ == "__main__": main()` must not run a main that the sandbox calls itself.
        self._module_name = "script" if main_function(tree) else "__main__"

    # Reporting

    def error(self, node: ast.AST, info: str, code: str = "POLICY") -> None:
        """Note a violation."""
        self.findings.append((node, code, info))

    def warn(self, node: ast.AST, info: str) -> None:
        """Nothing is doubtful: it is allowed or it is not."""

    def not_allowed(self, node: ast.AST) -> None:
        """Refuse a kind of node, and go on inside of it."""
        kind = type(node).__name__
        self.error(node, _REFUSED.get(kind, f"'{kind}' is not part of the script language"))
        self.node_contents_visit(node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Refuse whatever no rule knows, such as the syntax of a newer Python."""
        self.not_allowed(node)
        return node

    # Names and attributes

    def check_name(
        self, node: ast.AST, name: str | None, allow_magic_methods: bool = False
    ) -> None:
        """A name may be bound unless it is reserved."""
        if name is None or name == "_":
            return
        if name in ("__enter__", "__exit__"):
            self.error(node, f"'{name}' is not available; use try/finally in a function")
        elif name.startswith("_") and not (allow_magic_methods and name in _MAGIC_METHODS):
            self.error(node, f"'{name}': names that begin with an underscore are reserved")
        elif name == "super":
            self.error(node, "'super' cannot be given another meaning")

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if not isinstance(node.ctx, ast.Load):
            self.check_name(node, node.id)
        elif node.id == "__name__":
            return placed(ast.Constant(self._module_name), node)
        elif node.id not in self._known:
            self.error(node, self._unknown(node.id))
        elif node.id != "super":
            self.check_name(node, node.id)
        return node

    def _unknown(self, name: str) -> str:
        if name in HINTS:
            return f"'{name}' is not available in scripts: {HINTS[name]}"
        if name.startswith("_"):
            return f"'{name}': names that begin with an underscore are reserved"
        return f"the name '{name}' is not defined{did_you_mean(name, self._known, '; ')}"

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if _is_super_init(node):
            return node
        if node.attr.startswith("_") and node.attr != "_":
            self.error(node, f"'.{node.attr}': attributes that begin with an underscore are hidden")
        elif node.attr in INSPECT_ATTRIBUTES:
            self.error(node, f"'.{node.attr}': the interpreter's own attributes are hidden")
        elif (module := self._module_of(node.value)) and node.attr not in self._modules[module]:
            self.error(node, no_such_name(module, node.attr, self._modules[module]), "NAME")
        node = self.node_contents_visit(node)
        if isinstance(node.ctx, ast.Load):
            return placed(call("_getattr_", node.value, ast.Constant(node.attr)), node)
        node.value = placed(call("_write_", node.value), node.value)
        return node

    def _module_of(self, node: ast.expr) -> str:
        """The full name of the module that an expression is for certain, or nothing."""
        match node:
            case ast.Name(id=name):
                title = self._imported.get(name, "")
            case ast.Attribute(value=value, attr=name) if outer := self._module_of(value):
                title = f"{outer}.{name}"
            case _:
                title = ""
        return title if title in self._modules else ""

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        node = self.node_contents_visit(node)
        if not isinstance(node.ctx, ast.Load):
            node.value = placed(call("_write_", node.value), node.value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        return self.node_contents_visit(node)

    # Assignments and annotations

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        return self.node_contents_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if self._in_class and isinstance(node.target, ast.Name):
            # A dataclass asks which names are annotated, not with what: nothing is evaluated.
            self.visit(node.target)
            node.annotation = placed(ast.Constant(None), node.annotation)
            node.value = self.visit(node.value) if node.value else None
            return node
        if node.value is None:
            return placed(ast.Pass(), node)
        return self.visit_Assign(placed(ast.Assign([node.target], node.value), node))

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        target, operator = node.target, ast.Constant(IOPERATOR_TO_STR[type(node.op)])
        if isinstance(target, ast.Name):
            return self.node_contents_visit(node)
        if isinstance(target, ast.Attribute):
            self.visit_Attribute(
                placed(ast.Attribute(ast.Constant(None), target.attr, ast.Load()), target)
            )
            place, key = "_attributeplace_", ast.Constant(target.attr)
        else:
            place, key = "_itemplace_", self.visit(target.slice)
        # As Python does it: owner, key, the old value, and only then what is to be added.
        old = call(place, self.visit(target.value), key)
        return placed(ast.Expr(call("_augment_", old, operator, self.visit(node.value))), node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def guard_iter(self, node: Any) -> Any:
        """Iteration needs no guard: what can be reached by it is guarded where it is used."""
        return self.node_contents_visit(node)

    def visit_With(self, node: ast.With) -> ast.AST:
        return self.node_contents_visit(node)

    # Definitions

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        outside, self._in_class = self._in_class, False
        super().visit_FunctionDef(node)
        self._in_class = outside
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.check_name(node, node.name)
        outside, self._in_class = self._in_class, True
        for keyword in node.keywords:
            self.error(keyword.value, f"a class takes no keyword such as '{keyword.arg}'")
        node = self.node_contents_visit(node)
        self._in_class = outside
        node.keywords = [placed(ast.keyword("metaclass", load("__metaclass__")), node)]
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        for name in node.names:
            self.check_name(node, name)
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        for name in node.names:
            self.check_name(node, name)
        return node

    # Imports: no import statement is left; a name is bound to a facade instead.

    def visit_Import(self, node: ast.Import) -> ast.AST | list[ast.stmt]:
        return [self._import(alias, node) for alias in node.names]

    def _import(self, alias: ast.alias, node: ast.Import) -> ast.stmt:
        root = alias.name.split(".")[0]
        if alias.name not in self._modules:
            self.error(alias, no_such_module(alias.name, self._modules), "IMPORT")
        return self._bind(alias.asname or root, node, alias.name if alias.asname else root)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | list[ast.stmt]:
        if node.module == "__future__":
            return placed(ast.Pass(), node)
        module = "." * node.level + (node.module or "")
        if module not in self._modules:
            self.error(node, no_such_module(module, self._modules), "IMPORT")
            return node
        return [self._import_name(alias, node, module) for alias in node.names]

    def _import_name(self, alias: ast.alias, node: ast.ImportFrom, module: str) -> ast.stmt:
        if alias.name == "*":
            self.error(alias, f"import the names that you need, or 'import {module}'", "IMPORT")
        elif alias.name not in self._modules[module]:
            self.error(alias, no_such_name(module, alias.name, self._modules[module]), "IMPORT")
        return self._bind(alias.asname or alias.name, node, module, alias.name)

    def _bind(self, name: str, node: ast.stmt, *arguments: str) -> ast.stmt:
        if name != "*":
            self.check_name(node, name)
        value = call("_import_", *(ast.Constant(argument) for argument in arguments))
        return placed(ast.Assign([ast.Name(name, ast.Store())], value), node)

    # Patterns: a class pattern with attributes would read them past the guard.

    def visit_Match(self, node: ast.Match) -> ast.AST:
        return self.node_contents_visit(node)

    def visit_match_case(self, node: ast.match_case) -> ast.AST:
        return self.node_contents_visit(node)

    def visit_MatchSequence(self, node: ast.MatchSequence) -> ast.AST:
        return self.node_contents_visit(node)

    def visit_MatchOr(self, node: ast.MatchOr) -> ast.AST:
        return self.node_contents_visit(node)

    def visit_MatchSingleton(self, node: ast.MatchSingleton) -> ast.AST:
        return node

    def visit_MatchValue(self, node: ast.MatchValue) -> ast.AST:
        self._no_dotted_name(node.value)
        return node

    def visit_MatchMapping(self, node: ast.MatchMapping) -> ast.AST:
        self.check_name(node, node.rest)
        for key in node.keys:
            self._no_dotted_name(key)
        for pattern in node.patterns:
            self.visit(pattern)
        return node

    def visit_MatchStar(self, node: ast.MatchStar) -> ast.AST:
        self.check_name(node, node.name)
        return node

    def visit_MatchAs(self, node: ast.MatchAs) -> ast.AST:
        self.check_name(node, node.name)
        return self.node_contents_visit(node)

    def visit_MatchClass(self, node: ast.MatchClass) -> ast.AST:
        if node.kwd_attrs:
            self.error(
                node, "patterns 'Class(attribute=...)' are not available; use 'if' and isinstance()"
            )
        if not isinstance(node.cls, ast.Name):
            self.error(node.cls, "a pattern's class must be a plain name")
        return self.node_contents_visit(node)

    def _no_dotted_name(self, node: ast.expr) -> None:
        if any(isinstance(part, ast.Attribute) for part in ast.walk(node)):
            self.error(node, "patterns take literals, not dotted names; use 'case x if x == ...'")


def _is_super_init(node: ast.Attribute) -> bool:
    match node:
        case ast.Attribute(
            value=ast.Call(func=ast.Name(id="super"), args=[], keywords=[]),
            attr="__init__",
            ctx=ast.Load(),
        ):
            return True
        case _:
            return False
