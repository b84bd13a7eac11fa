"""What runs are searched by: a text is itself, a pattern is asked for, numbers can be compared."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from daq.core.values import plain, to_jsonable

__all__ = ["glob", "glob_of", "matches"]

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True, slots=True)
class glob:  # noqa: N801 - reads as a word in a search: name=glob("knife*")
    """A pattern of a text: `*` is anything, `?` one character, `[ab]` one of these."""

    pattern: str


def glob_of(name: str | glob) -> str:
    """The pattern that only this text fits, or the pattern that is asked for."""
    return name.pattern if isinstance(name, glob) else re.sub(r"([*?[])", r"[\1]", name)


def matches(facts: Mapping[str, Any], name: str, wanted: object) -> bool:
    """Whether a run with these metadata is wanted; without the key it never is.

    Args:
        facts: The metadata of a run.
        name: The key.
        wanted: A value that it has to equal; `glob("Si*")` or `re.compile(...)` for a text;
            `(">", 5)` and the like for a number or a text; or a function of the value.

    Returns:
        True when it is.
    """
    if name not in facts:
        return False
    value = facts[name]
    match wanted:
        case glob():
            return isinstance(value, str) and fnmatchcase(value, wanted.pattern)
        case re.Pattern():
            return isinstance(value, str) and wanted.search(value) is not None
        case (str(sign), bound) if isinstance(wanted, tuple) and sign in _COMPARISONS:
            return _compares(value, sign, _plain(bound))
    if callable(wanted):
        return bool(wanted(value))
    return _equals(_plain(value), _plain(wanted))


def _compares(value: object, sign: str, bound: object) -> bool:
    if sign in ("==", "!="):
        return _equals(_plain(value), bound) is (sign == "==")
    kinds = str if isinstance(bound, str) else int | float
    if not isinstance(value, kinds) or not isinstance(bound, kinds):
        return False
    return not isinstance(value, bool) and _COMPARISONS[sign](value, bound)


def _equals(value: object, wanted: object) -> bool:
    """`True` is not 1, as in the metadata that somebody wrote."""
    return isinstance(value, bool) is isinstance(wanted, bool) and value == wanted


def _plain(value: Any) -> Any:
    """By the rule for metadata, with arrays as lists of any type."""
    return to_jsonable(plain(value), typed=False)
