"""What compiled scripts call instead of reading and writing attributes themselves.

Reading is denied by default and allowed by exact type (`readable.py`).
"""

from __future__ import annotations

import collections
import operator
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from RestrictedPython.transformer import INSPECT_ATTRIBUTES

from daq.scripting.child.class_makers import ClassMakers, enumeration, is_enumeration
from daq.scripting.child.devices import DeviceProxy
from daq.scripting.child.facades import Facade
from daq.scripting.child.readable import BAGS, EXCEPTION, OF_INSTANCES, OF_TYPES

__all__ = ["RuntimeChecks"]

_ITEMS_ONLY = (np.ndarray,)
_PLAIN = (
    *(dict, list, bytearray),
    *(collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque),
)
_IN_PLACE: Mapping[str, Callable[[Any, Any], Any]] = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "%=": operator.imod,
    "**=": operator.ipow,
    "<<=": operator.ilshift,
    ">>=": operator.irshift,
    "|=": operator.ior,
    "^=": operator.ixor,
    "&=": operator.iand,
    "//=": operator.ifloordiv,
    "@=": operator.imatmul,
}
_MISSING = object()


class _PlainFormatter(string.Formatter):
    """`'{:.3f} {name}'.format(...)` without a way to attributes and items."""

    def get_field(
        self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Any, str]:
        if not (field_name.isidentifier() or field_name.isdigit()):
            raise ValueError(f"format() takes plain fields only, not {field_name!r}")
        key = int(field_name) if field_name.isdigit() else field_name
        return self.get_value(key, args, kwargs), field_name


_formatter = _PlainFormatter()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the result of an augmented assignment goes; owner and index were evaluated once."""

    store: Callable[[Any], None]
    old: Any


class RuntimeChecks:
    """The guards of one script; it knows which classes the script has made."""

    def __init__(self) -> None:
        self._classes: set[type] = set()

    def class_makers(self) -> dict[str, dict[str, Any]]:
        """Module to its names that make classes of the script."""
        return ClassMakers(self._classes).names()

    # Reading

    def getattr(self, owner: Any, name: str) -> Any:
        """`owner.name`, if that is on the list for the owner's exact type."""
        kind = type(owner)
        allowed = OF_INSTANCES.get(kind)
        if allowed is not None and name in allowed:
            return getattr(owner, name)
        if kind is Facade:
            value = owner.get(name, _MISSING)
            if value is not _MISSING:
                return value
        elif allowed is None and type(name) is str and not _is_hidden(name):
            value = self._rare(owner, kind, name)
            if value is not _MISSING:
                return value
        elif kind is str and name == "format":
            return lambda *args, **kwargs: _formatter.vformat(owner, args, kwargs)
        raise AttributeError(_denied(owner, name))

    def getattr_or(self, owner: Any, name: str, *default: Any) -> Any:
        """`getattr(owner, name)` or `getattr(owner, name, default)`, as in Python."""
        if len(default) > 1:
            raise TypeError(f"getattr() takes 2 or 3 arguments, not {2 + len(default)}")
        try:
            return self.getattr(owner, name)
        except AttributeError:
            if default:
                return default[0]
            raise

    def _rare(self, owner: Any, kind: type, name: str) -> Any:
        if kind is DeviceProxy:
            return getattr(owner, name)
        if kind in self._classes:
            return getattr(owner, name) if self._is_own(owner, kind, name) else _MISSING
        if kind is type:
            own = owner in self._classes and self._is_own(owner, owner, name)
            return getattr(owner, name) if own or name in OF_TYPES.get(owner, ()) else _MISSING
        if kind is super:
            instance = type(owner.__self__)
            own = any(name in vars(c) for c in instance.__mro__ if c in self._classes)
            return getattr(owner, name) if own else _MISSING
        if isinstance(owner, type) and owner in self._classes:  # an enumeration
            return getattr(owner, name)
        if isinstance(owner, dict) and isinstance(owner, tuple(BAGS)):
            return owner.get(name, _MISSING)
        if isinstance(owner, Exception) and name in EXCEPTION:
            return getattr(owner, name, _MISSING)
        return _MISSING

    def _is_own(self, owner: Any, kind: type, name: str) -> bool:
        """Whether the script itself made that attribute, or its class's base offers it to all."""
        if not issubclass(kind, Exception) or name in EXCEPTION:
            return True
        return name in vars(owner) or any(
            name in vars(c) for c in kind.__mro__ if c in self._classes
        )

    def hasattr(self, owner: Any, name: str) -> bool:
        """Whether `owner.name` can be read."""
        try:
            self.getattr(owner, name)
        except AttributeError:
            return False
        return True

    # Writing

    def write(self, owner: Any) -> Any:
        """What `owner.x = 1` and `owner[i] = 1` are done to: the owner, or what refuses them."""
        kind = type(owner)
        if kind in _PLAIN or kind in self._classes or (kind is type and owner in self._classes):
            return owner
        return _ItemWriter(owner) if isinstance(owner, _ITEMS_ONLY) else _ReadOnly(owner)

    def attribute_place(self, owner: Any, name: str) -> _Place:
        """What `owner.name += ...` will change, with the value that is there now."""
        return _Place(partial(setattr, self.write(owner), name), self.getattr(owner, name))

    def item_place(self, owner: Any, index: Any) -> _Place:
        """What `owner[index] += ...` will change, with the value that is there now."""
        return _Place(partial(operator.setitem, self.write(owner), index), owner[index])

    def augment(self, place: _Place, operation: str, value: Any) -> None:
        """The end of an augmented assignment."""
        place.store(_IN_PLACE[operation](place.old, value))

    # Classes

    def make_class(self, name: str, bases: tuple[Any, ...], namespace: dict[str, Any]) -> type:
        """The metaclass of scripts' classes: they derive from each other, or from exceptions."""
        if any(map(is_enumeration, bases)):
            made = enumeration(name, bases, namespace)
            self._classes.add(made)
            return made
        for base in bases:
            if not (base in self._classes or base is object or _is_exception(base)):
                shown = getattr(base, "__name__", repr(base))
                raise TypeError(
                    f"class '{name}' cannot derive from {shown}; "
                    "classes of the script and exceptions can be bases"
                )
        made = type(name, bases, namespace)
        self._classes.add(made)
        return made


class _ReadOnly:
    """Stands for an object that a script may not change."""

    __slots__ = ("_owner",)
    _owner: Any

    def __init__(self, owner: Any) -> None:
        object.__setattr__(self, "_owner", owner)

    def _refuse(self) -> str:
        if isinstance(self._owner, DeviceProxy):
            return "a device's attributes are facts; call an operation, such as move_abs(...)"
        return f"{type(self._owner).__name__} objects cannot be changed"

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"'{name}' cannot be set: {self._refuse()}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"'{name}' cannot be deleted: {self._refuse()}")

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError(self._refuse())

    def __delitem__(self, key: Any) -> None:
        raise TypeError(self._refuse())


class _ItemWriter(_ReadOnly):
    """Stands for an array: items can be written, attributes cannot."""

    __slots__ = ()

    def __setitem__(self, key: Any, value: Any) -> None:
        self._owner[key] = value


def _is_hidden(name: str) -> bool:
    return name.startswith("_") or name in INSPECT_ATTRIBUTES


def _is_exception(base: Any) -> bool:
    return type(base) is type and issubclass(base, Exception)


def _denied(owner: Any, name: Any) -> str:
    if isinstance(owner, Facade):
        return owner.missing(name)
    shown = owner.__name__ if isinstance(owner, type) else type(owner).__name__
    if type(name) is str and not isinstance(owner, DeviceProxy) and hasattr(owner, name):
        return f"'{name}' of '{shown}' is not available in scripts"
    return f"'{shown}' has no attribute '{name}'"
