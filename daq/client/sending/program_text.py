"""Makes scripts of local functions, and leads errors back to the lines that they came from."""

from __future__ import annotations

import ast
import inspect
import keyword
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType, ModuleType
from typing import Any

from daq.client.sending.literals import NUMPY, literal
from daq.core import ParameterError

__all__ = ["ProgramText"]

_PLACE = re.compile(r'File "[^"]*", line (\d+)(?:, column (\d+))?')


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where some lines of a script were copied from."""

    first: int
    count: int
    filename: str
    line: int
    indent: int


class ProgramText:
    """A script under construction: functions with all that they use, then the main part."""

    def __init__(self, description: str) -> None:
        one_line = " ".join(description.split()).replace("\\", "/").replace('"', "'")
        self._lines: list[str] = [f'"""{one_line}"""', ""]
        self._origins: list[_Origin] = []
        self._defined: dict[str, object] = {}

    @property
    def source(self) -> str:
        """The script as it is now."""
        first, _, *rest = self._lines
        uses_arrays = any(f"{NUMPY}.array(" in line for line in rest)
        second = f"import numpy as {NUMPY}" if uses_arrays else ""
        return "\n".join([first, second, *rest]) + "\n"

    def add(self, text: str) -> None:
        """Add lines of the client's own."""
        self._lines += [*textwrap.dedent(text).strip("\n").splitlines(), ""]

    def add_function(self, function: Callable[..., Any]) -> str:
        """Add a local function, and before it what it uses.

        Functions and plain values that it takes from around it travel with it, a device becomes
        `device(id)`, an import stays an import.

        Returns:
            Its name in the script.

        Raises:
            ParameterError: It has no source, or is a lambda or a method.
        """
        plain = inspect.unwrap(function)
        if not isinstance(plain, FunctionType) or not plain.__name__.isidentifier():
            raise ParameterError(
                f"{function!r} cannot be sent: it is no function with a name",
                advice="write it with `def`, outside of a class",
            )
        name = plain.__name__
        if self._defined.get(name) is plain:
            return name
        if name in self._defined:
            raise ParameterError(f"two different things are called {name!r}; rename one")
        self._defined[name] = plain
        for used, value in _surroundings(plain):
            self._add_value(used, value)
        self._copy(plain)
        return name

    def _add_value(self, name: str, value: object) -> None:
        if isinstance(value, FunctionType):
            if inspect.getmodule(value) is None or not _is_library(value):
                self.add_function(value)
            return
        if name in self._defined:
            return
        self._defined[name] = value
        if isinstance(value, ModuleType):
            module = value.__name__
            self.add(f"import {module}" if module == name else f"import {module} as {name}")
            return
        try:
            self.add(f"{name} = {literal(value)}")
        except ParameterError:
            del self._defined[name]  # the check of the script says that the name is not defined

    def _copy(self, function: FunctionType) -> None:
        try:
            lines, first = inspect.getsourcelines(function)
        except (OSError, TypeError) as error:
            raise ParameterError(
                f"the source of {function.__name__} cannot be found: {error}",
                advice="define it in a file or in a notebook's cell",
            ) from error
        text = textwrap.dedent("".join(lines))
        node = next(iter(ast.parse(text).body), None)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            raise ParameterError(f"{function.__name__} is not written with `def`")
        skipped = node.lineno - 1  # its decorators are of this side
        indent = len(lines[skipped]) - len(lines[skipped].lstrip())
        body = text.splitlines()[skipped:]
        filename = inspect.getsourcefile(function) or function.__code__.co_filename
        self._origins.append(
            _Origin(len(self._lines) + 1, len(body), filename, first + skipped, indent)
        )
        self._lines += [*body, "", ""]

    def relocate(self, text: str) -> str:
        """A traceback or a list of violations, with places in the caller's own files."""
        return _PLACE.sub(self._place, text)

    def _place(self, match: re.Match[str]) -> str:
        line, column = int(match[1]), match[2]
        for origin in self._origins:
            if origin.first <= line < origin.first + origin.count:
                place = f'File "{origin.filename}", line {origin.line + line - origin.first}'
                return f"{place}, column {int(column) + origin.indent}" if column else place
        return match[0]


def _surroundings(function: FunctionType) -> Iterator[tuple[str, object]]:
    """Names that the function takes from its closure and its module, with their values."""
    closure = inspect.getclosurevars(function).nonlocals
    for name in sorted(_names(function.__code__)):
        if keyword.iskeyword(name) or name.startswith("_"):
            continue
        if name in closure:
            yield name, closure[name]
        elif name in function.__globals__:
            yield name, function.__globals__[name]


def _names(code: CodeType) -> set[str]:
    """Global and free names of a function and of those inside of it."""
    names = {*code.co_names, *code.co_freevars}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


def _is_library(function: FunctionType) -> bool:
    """Whether it belongs to an installed package, whose functions do not travel.

    Those of `daq` itself have the names of the script language, and mean that there.

    Returns:
        True when it does.
    """
    if function.__module__.partition(".")[0] == "daq":
        return True
    module = sys.modules.get(function.__module__)
    path = getattr(module, "__file__", "") or ""
    return "site-packages" in path or path.startswith(sys.base_prefix + "/lib/")
