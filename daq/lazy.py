"""Names of a package that load when they are first used.

A package that is imported for one small thing should not bring numpy or trio with it. The one list
of its names is its stub, `__init__.pyi`, which editors and type checkers read too:

    from .calls.models import Frame as Frame

This imports next to nothing: `from daq.client import connect` takes a few milliseconds.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable

__all__ = ["lazy_names"]

_IMPORT = re.compile(r"^from (\.[\w.]+) import (?:\(([^)]*)\)|(.*))$", re.MULTILINE)
_NAME = re.compile(r"(\w+) as \1\b")


def lazy_names(
    package: str, file: str
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """The `__getattr__`, the `__dir__` and the `__all__` of a package with a stub.

    Args:
        package: Its `__name__`.
        file: Its `__file__`; the stub is beside it.
    """
    with open(f"{file.removesuffix('.py')}.pyi", encoding="utf-8") as stub:  # noqa: PTH123 - light
        text = stub.read()
    homes = {
        name: home
        for home, several, one in _IMPORT.findall(text)
        for name in _NAME.findall(several or one)
    }
    names = sorted(homes)

    def load(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name], package), name)

    return load, names.copy, names
