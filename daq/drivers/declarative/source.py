"""A description's file: tables that know on which line everything stands, and gather mistakes."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from daq.core import ConfigurationError, Limits

__all__ = ["MISSING", "Source", "Table"]

T = TypeVar("T")

Path = tuple[str, ...]


class _Missing:
    """The type of `MISSING`."""


MISSING: Final = _Missing()
"""As a default, it makes the key one that has to be given."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*[A-Za-z0-9_-]+)*)\s*=")


class Source:
    """Tables, the lines on which they stand, and the mistakes found in them so far.

    Args:
        values: The outermost table.
        name: Where it is from, as messages show it.
        lines: Of tables and keys; none where there is no file.
    """

    def __init__(
        self, values: Mapping[str, Any], name: str, lines: Mapping[Path, int] | None = None
    ) -> None:
        self.name = name
        self.problems: list[tuple[int, str]] = []
        """Line and what is wrong there."""
        self.root = Table(self, (), values)
        self._lines = lines

    @classmethod
    def parse(cls, text: str, name: str) -> Source:
        """A file's text; ConfigurationError when it is no TOML at all."""
        try:
            return cls(tomllib.loads(text), name, _find_lines(text))
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{name}: {error}") from error

    def __repr__(self) -> str:
        return f"<Source {self.name}: {len(self.problems)} problems>"

    def line(self, path: Path) -> int:
        """Where it stands, or what it stands in."""
        lines = self._lines or {}
        while path and path not in lines:
            path = path[:-1]
        return lines.get(path, 1)

    def problem(self, path: Path, text: str) -> None:
        """Note a mistake; reading goes on, so that all are told at once."""
        self.problems.append((self.line(path), text))

    def finish(self) -> None:
        """Raise ConfigurationError when there was any mistake: each with its place and reason."""
        if self.problems:
            found = sorted(set(self.problems))
            listed = [
                f"{self.name}: {text}" if self._lines is None else f"{self.name}:{line}: {text}"
                for line, text in found
            ]
            raise ConfigurationError("\n".join(listed))


class Table:
    """One table, read key by key; what nobody asked for is a mistake (`finish`)."""

    def __init__(self, source: Source, path: Path, values: Mapping[str, Any]) -> None:
        self.source = source
        self.path = path
        self.values = values
        self._accepted: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<Table [{'.'.join(self.path)}] of {self.source.name}>"

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def text(self, key: str, default: str | _Missing = MISSING) -> str:
        return str(self._typed(key, default, "a text", "", lambda v: isinstance(v, str)))

    def number(self, key: str, default: float | _Missing = MISSING, units: str = "") -> float:
        """A finite number of at least 0."""
        expected = f"a number in {units}" if units else "a number"
        return float(self._typed(key, default, expected, 0.0, _is_amount))

    def whole(self, key: str, default: int | _Missing = MISSING) -> int:
        return int(
            self._typed(key, default, "a whole number", 0, lambda v: _is_amount(v) and v == int(v))
        )

    def truth(self, key: str, default: bool) -> bool:
        return bool(
            self._typed(key, default, "true or false", False, lambda v: isinstance(v, bool))
        )

    def choice(self, key: str, default: str | _Missing, choices: Iterable[str]) -> str:
        known = tuple(choices)
        expected = "one of " + ", ".join(known)
        value = self._typed(key, default, expected, known[0], lambda v: v in known)
        return str(value)

    def texts(self, key: str, default: tuple[str, ...] | _Missing = ()) -> tuple[str, ...]:
        """A list of texts; a single text counts as a list of one."""
        value = self._typed(key, default, "a text or a list of texts", (), _are_texts)
        return (value,) if isinstance(value, str) else tuple(value)

    def limits(self, key: str) -> Limits | None:
        """`[low, high]`; None when not given."""
        value = self._typed(key, None, "two numbers [low, high]", None, _is_range)
        return None if value is None else Limits(*map(float, value))

    def scalars(self, key: str) -> Mapping[str, Any]:
        """A table of plain values, or a list of texts, each standing for itself."""
        value = self._typed(key, {}, "a list of texts, or a table of them", {}, _are_words)
        return value if isinstance(value, Mapping) else {word: word for word in value}

    def table(self, key: str) -> Table | None:
        """A table within; None when it is not there."""
        value = self._typed(key, None, "a table", None, lambda v: isinstance(v, Mapping))
        return None if value is None else Table(self.source, (*self.path, key), value)

    def tables(self, key: str) -> list[Table]:
        """An array of tables, `[[init]]`."""
        value = self._typed(key, [], f"tables [[{key}]]", [], _are_tables)
        return [
            Table(self.source, (*self.path, key, str(number)), entry)
            for number, entry in enumerate(value)
        ]

    def named_tables(self, key: str) -> dict[str, Table]:
        """The tables `[key.NAME]` by their names."""
        outer = self.table(key)
        found: dict[str, Table] = {}
        for name in () if outer is None else outer.values:
            if not _NAME.fullmatch(name):
                self.problem((key, name), f"a name is letters, digits and _, not {name!r}")
            table = outer.table(name) if outer is not None else None
            if table is not None:
                found[name] = table
        return found

    def given(self, key: str, expected: str, default: T) -> T | Any:
        """Whatever stands there."""
        self._accepted[key] = expected
        return self.values.get(key, default)

    def problem(self, key: str | Path, text: str) -> None:
        """Note a mistake at a key of this table."""
        inner = (key,) if isinstance(key, str) else key
        where = ".".join((*self.path, *inner))
        self.source.problem((*self.path, *inner), f"{where}: {text}" if where else text)

    def finish(self) -> None:
        """Note every key that is not known here."""
        for key in self.values:
            if key in self._accepted:
                continue
            close = get_close_matches(key, self._accepted, n=1)
            hint = f"did you mean {close[0]!r}?" if close else ""
            known = f"known here: {', '.join(sorted(self._accepted))}"
            self.problem(key, f"there is no such key; {hint or known}")

    def _typed(self, key: str, default: Any, expected: str, fallback: Any, fits: Any) -> Any:
        self._accepted[key] = expected
        if key not in self.values:
            if isinstance(default, _Missing):
                self.problem(key, f"is missing; give it as {key} = {expected}")
                return fallback
            return default
        value = self.values[key]
        if not fits(value):
            self.problem(key, f"{value!r} is not {expected}")
            return fallback if isinstance(default, _Missing) else default
        return value


def _find_lines(text: str) -> dict[Path, int]:
    """The line of every table and key; what stands in an inline table shares its line."""
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header:
            table = _split(header[2])
            if header[1] == "[[":
                index = counts[table] = counts.get(table, -1) + 1
                table = (*table, str(index))
            _note(lines, table, number, 0)
        elif key := _KEY.match(line):
            _note(lines, (*table, *_split(key[1])), number, len(table))
    return lines


def _note(lines: dict[Path, int], path: Path, number: int, known: int) -> None:
    for length in range(known + 1, len(path) + 1):
        lines.setdefault(path[:length], number)


def _split(dotted: str) -> Path:
    return tuple(part.strip().strip("\"'") for part in re.split(r"\s*\.\s*", dotted.strip()))


def _is_amount(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0  # type: ignore[arg-type,operator]


def _are_texts(value: object) -> bool:
    if isinstance(value, str):
        return True
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _is_range(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in value):
        return False
    return all(math.isfinite(v) for v in value) and value[0] < value[1]


def _are_words(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(word, str) for word in value.values())
    return isinstance(value, list) and _are_texts(value)


def _are_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, Mapping) for entry in value)
