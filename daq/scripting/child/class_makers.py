"""What makes classes beside the `class` statement: dataclasses, named tuples and enumerations."""

from __future__ import annotations

import collections
import dataclasses
import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["ClassMakers", "enumeration", "is_enumeration"]

_ENUMERATIONS = frozenset({enum.Enum, enum.Flag, enum.IntEnum, enum.IntFlag})


def is_enumeration(base: Any) -> bool:
    """Whether a script may derive from it what is an enumeration then."""
    return isinstance(base, type) and base in _ENUMERATIONS


def enumeration(name: str, bases: tuple[Any, ...], namespace: Mapping[str, Any]) -> type:
    """The class that `class Name(Enum): ...` describes."""
    kind = enum.EnumMeta
    members = kind.__prepare__(name, bases)
    for key, value in namespace.items():
        members[key] = value
    return kind(name, bases, members)


class ClassMakers:
    """Functions that make classes, or know what is in them; each class is one of the script's.

    Args:
        own: The script's classes; new ones are added.
    """

    def __init__(self, own: set[type]) -> None:
        self._own = own

    def names(self) -> dict[str, dict[str, Any]]:
        """Module to its names that stand for these functions."""
        makers = ("asdict", "astuple", "dataclass", "replace")
        return {
            "collections": {"namedtuple": self.namedtuple},
            "dataclasses": {name: getattr(self, name) for name in makers},
        }

    def namedtuple(
        self, typename: str, field_names: str | Iterable[str], *, defaults: Iterable[Any] = ()
    ) -> type:
        """A class of tuples with named items."""
        names = field_names if isinstance(field_names, str) else list(field_names)
        made = collections.namedtuple(typename, names, defaults=tuple(defaults), module="script")  # type: ignore[misc] # noqa: PYI024
        self._own.add(made)
        return made

    def dataclass(
        self,
        kind: type | None = None,
        /,
        *,
        eq: bool = True,
        order: bool = False,
        frozen: bool = False,
        kw_only: bool = False,
    ) -> type | Callable[[type], type]:
        """As `dataclasses.dataclass`, of classes of the script."""

        def made(kind: type) -> type:
            if not (isinstance(kind, type) and kind in self._own):
                raise TypeError("dataclass() takes a class of the script")
            return dataclasses.dataclass(eq=eq, order=order, frozen=frozen, kw_only=kw_only)(kind)

        return made if kind is None else made(kind)

    def asdict(self, value: Any) -> dict[str, Any]:
        """A dataclass's fields by name; dataclasses inside of it too."""
        return {name: self._plain(field, self.asdict) for name, field in self._items(value)}

    def astuple(self, value: Any) -> tuple[Any, ...]:
        """A dataclass's fields in order; dataclasses inside of it too."""
        return tuple(self._plain(field, self.astuple) for _, field in self._items(value))

    def replace(self, value: Any, /, **changes: Any) -> Any:
        """The same dataclass with some other values."""
        self._items(value)
        return dataclasses.replace(value, **changes)

    def _plain(self, value: Any, inside: Callable[[Any], Any]) -> Any:
        if type(value) in (list, tuple):
            return type(value)(self._plain(item, inside) for item in value)
        return inside(value) if self._is_dataclass(value) else value

    def _items(self, value: Any) -> list[tuple[str, Any]]:
        if not self._is_dataclass(value):
            raise TypeError(f"a dataclass is needed here, not {type(value).__name__}")
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]

    def _is_dataclass(self, value: Any) -> bool:
        return type(value) in self._own and dataclasses.is_dataclass(value)
