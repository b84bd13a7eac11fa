"""How much somebody else may hand over: checked before work is done that grows with it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from daq.core.errors import OverloadError

__all__ = ["brief", "require_short_json", "require_small"]

SHOWN = 120
MAX_JSON_ITEMS = 100_000
MAX_JSON_DEPTH = 64
_BRACKETS = re.compile(r"[][{}]")


def require_small(
    value: object,
    what: str,
    *,
    items: int,
    characters: int,
    depth: int,
    numbers: int | None = None,
) -> None:
    """Raise OverloadError for a value, plain data and arrays, that is larger than that.

    Args:
        value: Lists and mappings count with everything in them; an array counts as one item.
        what: Begins the message, such as "the metadata of a run".
        items: How many there may be, at all depths.
        characters: Of all texts together, keys included.
        depth: Levels of lists and mappings.
        numbers: In all arrays together; without it they may be of any size.
    """
    left = _Left(what, items, characters, depth, numbers)
    left.take(value, 0)


class _Left:
    """What may still come."""

    def __init__(
        self, what: str, items: int, characters: int, depth: int, numbers: int | None
    ) -> None:
        self._what = what
        self._items = self._most_items = items
        self._characters = self._most_characters = characters
        self._depth = depth
        self._numbers = self._most_numbers = math.inf if numbers is None else numbers

    def take(self, value: object, level: int) -> None:
        if isinstance(value, str | bytes):
            self._characters -= len(value)
            if self._characters < 0:
                raise self._refusal(f"texts of more than {self._most_characters} characters")
        elif isinstance(value, np.ndarray):
            self._numbers -= value.size
            if self._numbers < 0:
                raise self._refusal(f"arrays of more than {self._most_numbers:.0f} numbers")
        elif isinstance(value, Mapping):
            self._enter(len(value), level)
            for key, item in value.items():
                self.take(key, level + 1)
                self.take(item, level + 1)
        elif isinstance(value, Sequence):
            self._enter(len(value), level)
            for item in value:
                self.take(item, level + 1)

    def _enter(self, size: int, level: int) -> None:
        self._items -= size
        if self._items < 0:
            raise self._refusal(f"more than {self._most_items} items")
        if level >= self._depth:
            raise self._refusal(f"lists and dicts more than {self._depth} deep")

    def _refusal(self, found: str) -> OverloadError:
        return OverloadError(
            f"{self._what}: {found}, which is the limit; nothing was stored",
            advice="record large things as arrays, and keep their description short",
        )


def require_short_json(*texts: str) -> None:
    """Raise OverloadError for texts in JSON that are too large to be read on the event loop.

    Before any is read: commas and brackets count the items.
    """
    for text in texts:
        items = text.count(",") + text.count("[") + text.count("{")
        if items > MAX_JSON_ITEMS:
            raise OverloadError(
                f"a value in JSON has about {items} items, the limit is {MAX_JSON_ITEMS}",
                advice="send less at a time",
            )
        if items > MAX_JSON_DEPTH and _is_deep(text):
            raise OverloadError(
                f"a value in JSON is nested more than {MAX_JSON_DEPTH} deep, which is the limit"
            )


def _is_deep(text: str) -> bool:
    """Whether brackets are open one in another; those in texts may count, at worst, as well."""
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > MAX_JSON_DEPTH:
            return True
    return False


def brief(text: str) -> str:
    """The beginning of a text of any length, for a message."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"
