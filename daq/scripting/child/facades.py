"""Modules as scripts get them: a bag of functions, never a module object.

Any module object leads to `sys` and from there to everything; a function that only computes does
not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daq.scripting.vocabulary import no_such_name

__all__ = ["Facade"]


class Facade:
    """An unchangeable bag of names."""

    __slots__ = ("_names", "_title")

    def __init__(self, title: str, names: Mapping[str, Any]) -> None:
        self._title = title
        self._names = dict(names)

    def get(self, name: str, default: Any) -> Any:
        """The thing of that name, or the default."""
        return self._names.get(name, default)

    def names(self) -> frozenset[str]:
        """What it holds."""
        return frozenset(self._names)

    def with_names(self, names: Mapping[str, Any]) -> Facade:
        """The same, and some more."""
        return Facade(self._title, self._names | dict(names))

    def missing(self, name: object) -> str:
        """Why there is no such name, and which one may be meant."""
        return no_such_name(self._title, str(name), self._names)

    def __repr__(self) -> str:
        return f"<module '{self._title}'>"
