"""Typed reading of a device's table of the configuration; errors say what was expected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final, TypeVar, cast

from daq.core import ConfigurationError, Limits

__all__ = ["NOT_NEGATIVE", "POSITIVE", "REQUIRED", "Options"]

T = TypeVar("T")

NOT_NEGATIVE = Limits(0.0, math.inf)
POSITIVE = Limits(1e-12, 1e12)
"""Finite, because the limits of parameters cross the wire and are shown to people."""


class _Required:
    """The type of `REQUIRED`."""


REQUIRED: Final = _Required()
"""As a default, it makes the option one that has to be given."""


class Options:
    """A device's options, read one by one by name and type.

    Every read says what it accepts, so that `finish` can refuse what nobody asked for and name
    what there is. Errors are `ConfigurationError`s; the registry puts file and line before them.
    """

    def __init__(self, owner: str, values: Mapping[str, Any]) -> None:
        self._owner = owner
        self._values = values
        self._accepted: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Options of {self._owner}: {', '.join(self._values) or 'none'}>"

    def number(
        self,
        name: str,
        default: float | _Required,
        units: str = "",
        limits: Limits | None = None,
    ) -> float:
        """A finite number in `units`, within `limits`; whole numbers are converted."""
        expected = _in_words("a number", units, limits)
        value = self._take(name, default, expected)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(name, value, expected)
        self._check(name, value, expected, limits)
        return float(value)

    def integer(
        self, name: str, default: int | _Required, units: str = "", limits: Limits | None = None
    ) -> int:
        """A whole number in `units`, within `limits`."""
        expected = _in_words("a whole number", units, limits)
        value = self._take(name, default, expected)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(name, value, expected)
        self._check(name, value, expected, limits)
        return value

    def boolean(self, name: str, default: bool | _Required) -> bool:
        """`true` or `false`, nothing that merely looks like it."""
        value = self._take(name, default, "true or false")
        if not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return value

    def text(self, name: str, default: str | _Required, expected: str = "a text") -> str:
        """A string; `expected` says what of, such as "a serial port like /dev/ttyUSB0"."""
        value = self._take(name, default, expected)
        if not isinstance(value, str):
            raise self._wrong(name, value, expected)
        return value

    def texts(self, name: str, default: tuple[str, ...], expected: str) -> tuple[str, ...]:
        """A list of strings; `expected` says what of, such as "a list of devices"."""
        value = self._take(name, default, expected)
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            raise self._wrong(name, value, expected)
        return tuple(value)

    def choice(self, name: str, default: str | _Required, choices: Iterable[str]) -> str:
        """One of a few words."""
        known = tuple(choices)
        expected = "one of " + ", ".join(repr(c) for c in known)
        value = self._take(name, default, expected)
        if value not in known:
            raise self._wrong(name, value, expected, _did_you_mean(value, known))
        return cast("str", value)

    def limits(self, name: str, default: Limits | _Required, units: str = "") -> Limits:
        """A closed range, written `[low, high]`."""
        expected = _in_words("two numbers [low, high]", units, None)
        value = self._take(name, default, expected)
        if isinstance(value, Limits):
            return value
        numbers = _numbers(value, 2)
        if numbers is None or numbers[0] >= numbers[1]:
            raise self._wrong(name, value, expected)
        return Limits(*numbers)

    def size(
        self, name: str, default: tuple[int, int] | _Required, limits: Limits
    ) -> tuple[int, int]:
        """Width and height, written `[width, height]`, each within `limits`."""
        expected = _in_words("two whole numbers [width, height]", "", limits)
        value = self._take(name, default, expected)
        numbers = _numbers(value, 2)
        if numbers is None or any(n != int(n) or n not in limits for n in numbers):
            raise self._wrong(name, value, expected)
        return int(numbers[0]), int(numbers[1])

    def table(self, name: str) -> Options | None:
        """A table within the table, such as `fault = { kind = "offline" }`; None when not given."""
        value = self._take(name, None, "a table { ... }")
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self._wrong(name, value, "a table { ... }")
        return Options(f"{self._owner}.{name}", value)

    def plain(self, name: str, expected: str) -> Any:
        """Whatever stands there, for who checks it himself; None when not given."""
        return self._take(name, None, expected)

    def finish(self) -> None:
        """Refuse every option that was given and never read. Call it after the last read."""
        for name in self._values:
            if name not in self._accepted:
                known = "; ".join(f"{n}: {what}" for n, what in sorted(self._accepted.items()))
                raise ConfigurationError(
                    f"{self._owner}: there is no option {name!r}"
                    f"{_did_you_mean(name, self._accepted)}",
                    advice=f"it takes {known}",
                )

    def _take(self, name: str, default: T | _Required, expected: str) -> Any:
        self._accepted[name] = expected
        if name in self._values:
            return self._values[name]
        if isinstance(default, _Required):
            raise ConfigurationError(
                f"{self._owner}: the option {name!r} is missing",
                advice=f"give it as {name} = {expected}",
            )
        return default

    def _check(self, name: str, value: float, expected: str, limits: Limits | None) -> None:
        if name not in self._values:
            return
        if not math.isfinite(value) or (limits is not None and value not in limits):
            raise self._wrong(name, value, expected)

    def _wrong(self, name: str, value: object, expected: str, hint: str = "") -> ConfigurationError:
        return ConfigurationError(f"{self._owner}: {name} = {value!r} is not {expected}{hint}")


def _in_words(what: str, units: str, limits: Limits | None) -> str:
    text = f"{what} in {units}" if units else what
    if limits is None:
        return text
    if math.isinf(limits.high):
        return f"{text}, at least {limits.low:g}"
    return f"{text} within {limits}"


def _numbers(value: object, count: int) -> tuple[float, ...] | None:
    if not isinstance(value, list | tuple) or len(value) != count:
        return None
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in value):
        return None
    return tuple(float(v) for v in value) if all(math.isfinite(v) for v in value) else None


def _did_you_mean(word: object, known: Iterable[str]) -> str:
    close = get_close_matches(str(word), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
