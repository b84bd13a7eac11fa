"""Typed reading of a device's table of the configuration; errors say what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar, cast

from daq.config import Mistakes, Table
from daq.core import Limits, did_you_mean

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

    Every read says what it accepts. What is wrong is noted, and the default taken for it, or
    something empty, so that the reading goes on: `finish` raises one `ConfigurationError` with
    every mistake, and with what nobody asked for and the name that may be meant. Nothing may be
    done with the values before that.

    Args:
        owner: Whose options these are, for errors where no file is known.
        values: The table; one of a file tells its places.
    """

    def __init__(self, owner: str, values: Mapping[str, Any]) -> None:
        self._owner = owner
        self._values = values
        self._accepted: dict[str, str] = {}
        self._mistakes = Mistakes(values, owner)
        self._inner: list[Options] = []

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
        empty = 0.0 if limits is None else limits.low
        return self._take(name, default, expected, empty, lambda v: _number(v, limits))

    def integer(
        self, name: str, default: int | _Required, units: str = "", limits: Limits | None = None
    ) -> int:
        """A whole number in `units`, within `limits`."""
        expected = _in_words("a whole number", units, limits)
        empty = 0 if limits is None else math.ceil(limits.low)
        return self._take(name, default, expected, empty, lambda v: _whole(v, limits))

    def boolean(self, name: str, default: bool | _Required) -> bool:
        """`true` or `false`, nothing that merely looks like it."""
        return self._take(name, default, "true or false", False, lambda v: _of(bool, v))

    def text(self, name: str, default: str | _Required, expected: str = "a text") -> str:
        """A string; `expected` says what of, such as "a serial port like /dev/ttyUSB0"."""
        return self._take(name, default, expected, "", lambda v: _of(str, v))

    def texts(self, name: str, default: tuple[str, ...], expected: str) -> tuple[str, ...]:
        """A list of strings; `expected` says what of, such as "a list of devices"."""
        return self._take(name, default, expected, (), _texts)

    def choice(self, name: str, default: str | _Required, choices: Iterable[str]) -> str:
        """One of a few words."""
        known = tuple(choices)
        expected = "one of " + ", ".join(repr(c) for c in known)
        hint = did_you_mean(self._values.get(name), known, "; ") if name in self._values else ""
        return self._take(name, default, expected, known[0], lambda v: _one_of(known, v), hint)

    def limits(self, name: str, default: Limits | _Required, units: str = "") -> Limits:
        """A closed range, written `[low, high]`."""
        expected = _in_words("two numbers [low, high]", units, None)
        return self._take(name, default, expected, Limits(0.0, 1.0), _range)

    def size(
        self, name: str, default: tuple[int, int] | _Required, limits: Limits
    ) -> tuple[int, int]:
        """Width and height, written `[width, height]`, each within `limits`."""
        expected = _in_words("two whole numbers [width, height]", "", limits)
        empty = (math.ceil(limits.low), math.ceil(limits.low))
        return self._take(name, default, expected, empty, lambda v: _size(v, limits))

    def table(self, name: str) -> Options | None:
        """A table within the table, such as `fault = { kind = "offline" }`; None when not given.

        Its mistakes are told by the `finish` of this one, too.

        Returns:
            Its options.
        """
        given = self._take(name, None, "a table { ... }", None, _table)
        if given is None:
            return None
        inner = Options(f"{self._owner}.{name}", given)
        self._inner.append(inner)
        return inner

    def has(self, name: str) -> bool:
        """Whether it is given."""
        return name in self._values

    def plain(self, name: str, expected: str) -> Any:
        """Whatever stands there, for who checks it himself; None when not given."""
        return self._take(name, None, expected, None, lambda v: v)

    def tables(self, names: Iterable[str]) -> Mapping[str, Any]:
        """Those of these tables that are given, for who reads them himself."""
        for name in names:
            self._accepted[name] = f"a table [devices.ID.{name}]"
        if isinstance(self._values, Table):
            return self._values.only(names)
        return {name: self._values[name] for name in names if name in self._values}

    def refuse(self, name: str, problem: str) -> None:
        """Note what else is wrong with an option; with all of them together, without a name."""
        self._mistakes.note((name,) if name else (), problem)

    def finish(self) -> None:
        """Refuse all that is wrong, and every option that was given and never read.

        Call it after the last read. Raises ConfigurationError.
        """
        self._gather(self._mistakes)
        self._mistakes.finish()

    def require_right(self) -> None:
        """Raise ConfigurationError when anything that was read until now is wrong.

        For a driver that cannot read the other options without it.
        """
        self._mistakes.finish()

    def _gather(self, mistakes: Mistakes) -> None:
        known = {f"{name} ({what})" for name, what in self._accepted.items()}
        for name in self._values:
            if name not in self._accepted:
                near = did_you_mean(name, self._accepted)
                there = f"known here: {', '.join(sorted(known)) or 'nothing'}"
                self._mistakes.note((name,), f"there is no such option; {near or there}")
        for inner in self._inner:
            inner._gather(mistakes)  # noqa: SLF001 - another of this class
            mistakes.include(inner._mistakes)  # noqa: SLF001
        self._inner.clear()

    def _take(
        self,
        name: str,
        default: T | _Required,
        expected: str,
        empty: T,
        convert: Callable[[Any], T],
        hint: str = "",
    ) -> T:
        self._accepted[name] = expected
        if name not in self._values:
            if not isinstance(default, _Required):
                return default
            self._mistakes.note((name,), f"is missing; give it as {name} = {expected}")
            return empty
        try:
            return convert(self._values[name])
        except ValueError:
            text = f"{self._values[name]!r} is not {expected}{hint}"
            self._mistakes.note((name,), text)
            return empty if isinstance(default, _Required) else default


def _in_words(what: str, units: str, limits: Limits | None) -> str:
    text = f"{what} in {units}" if units else what
    if limits is None:
        return text
    if math.isinf(limits.high):
        return f"{text}, at least {limits.low:g}"
    return f"{text} within {limits}"


def _of(kind: type[T], value: Any) -> T:
    if type(value) is not kind:
        raise ValueError
    return value


def _number(value: Any, limits: Limits | None = None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError
    if limits is not None and value not in limits:
        raise ValueError
    return float(value)


def _whole(value: Any, limits: Limits | None) -> int:
    _number(value, limits)
    return _of(int, value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError  # noqa: TRY004 - all of these are told alike
    return tuple(_of(str, each) for each in value)


def _one_of(known: tuple[str, ...], value: Any) -> str:
    if value not in known:
        raise ValueError
    return cast("str", value)


def _pair(value: Any) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError
    return _number(value[0]), _number(value[1])


def _range(value: Any) -> Limits:
    if isinstance(value, Limits):
        return value
    low, high = _pair(value)
    if low >= high:
        raise ValueError
    return Limits(low, high)


def _size(value: Any, limits: Limits) -> tuple[int, int]:
    numbers = _pair(value)
    if any(n != int(n) or n not in limits for n in numbers):
        raise ValueError
    return int(numbers[0]), int(numbers[1])


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError  # noqa: TRY004
    return value
