"""TOML whose tables know on which line they stand, and the mistakes that were found in it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from daq.core import ConfigurationError, did_you_mean

__all__ = ["KeyPath", "Mistakes", "Table", "located", "parse_toml", "read_text"]

KeyPath = tuple[str, ...]
"""Where a table or a key stands: `("devices", "stage", "limits")`."""

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(
    r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*="
)
_PART = re.compile(r"\"([^\"]*)\"|'([^']*)'|([^.\s\"']+)")


class Places:
    """On which line of a file everything stands.

    Args:
        name: The file, as messages show it.
        text: Its text.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self._lines = _find_lines(text)

    def line(self, path: KeyPath) -> int:
        """The line of a key, or of what it stands in."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)


class Table(dict[str, Any]):
    """A table of a file, an ordinary dictionary beside that."""

    __slots__ = ("path", "places")

    def __init__(self, values: Mapping[str, Any], places: Places, path: KeyPath = ()) -> None:
        super().__init__(
            {key: _located(value, places, (*path, key)) for key, value in values.items()}
        )
        self.places = places
        self.path = path

    def only(self, keys: Iterable[str]) -> Table:
        """The same table with no more than these keys."""
        return Table({key: self[key] for key in keys if key in self}, self.places, self.path)


class Mistakes:
    """What is wrong in a file, gathered, so that all of it is told at once.

    Args:
        table: The table that is read; one that knows no lines is called by `owner`.
        owner: Whose table it is.
    """

    def __init__(self, table: Mapping[str, Any], owner: str = "") -> None:
        self._places = table.places if isinstance(table, Table) else None
        self._path = table.path if isinstance(table, Table) else ()
        self._owner = owner
        self._table = table
        self._found: dict[tuple[int, str], None] = {}

    def __repr__(self) -> str:
        return f"<Mistakes {len(self._found)}>"

    def __bool__(self) -> bool:
        return bool(self._found)

    def note(self, path: KeyPath, problem: str) -> None:
        """Note what is wrong at a key, by its path from the table that is read."""
        path = self._existing(path)
        whole = (*self._path, *path)
        where = ".".join(whole if self._places else path)
        text = f"{where}: {problem}" if where else problem
        if self._places is not None:
            line = self._places.line(whole)
            self._found[line, f"{self._places.name}:{line}: {text}"] = None
        else:
            self._found[0, f"{self._owner}: {text}" if self._owner else text] = None

    def _existing(self, path: KeyPath) -> KeyPath:
        """Without the parts of a table that is written as a text."""
        inner: Any = self._table
        for length, part in enumerate(path):
            if isinstance(inner, str):
                return path[:length]
            if isinstance(inner, Mapping):
                inner = inner.get(part)
            else:
                has_it = isinstance(inner, list) and part.isdigit() and int(part) < len(inner)
                inner = inner[int(part)] if isinstance(inner, list) and has_it else None
        return path

    def unknown(self, path: KeyPath, known: Iterable[str]) -> None:
        """Note a key that does not exist there, with the near miss or all that there are."""
        there = sorted(known)
        all_of_them = f"known here: {', '.join(there)}" if there else "nothing is known here"
        near = did_you_mean(path[-1], there)
        self.note(path, f"there is no such key; {near or all_of_them}")

    def include(self, other: Mistakes) -> None:
        """Tell those of a table within, too."""
        self._found.update(other._found)

    def finish(self) -> None:
        """Raise ConfigurationError with every mistake, in the order of the file."""
        if self._found:
            raise ConfigurationError("\n".join(text for _, text in sorted(self._found)))


def located(error: ConfigurationError, path: Path | None, line: int) -> ConfigurationError:
    """The same mistake with file and line before it, where it does not tell them already."""
    if path is None or error.message.startswith(f"{path}:"):
        return error
    return ConfigurationError(f"{path}:{line}: {error.message}", advice=error.advice)


def parse_toml(text: str, name: str) -> Table:
    """The whole file as a table; raises ConfigurationError when it is no TOML."""
    try:
        return Table(tomllib.loads(text), Places(name, text))
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        raise ConfigurationError(f"{name}:{line[1] if line else 1}: {error}") from error


def read_text(path: Path, advice: str = "") -> str:
    """A file's text; raises ConfigurationError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        problem = f"{path}: cannot be read: {error.strerror}"
        raise ConfigurationError(problem, advice=advice) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not a text file in UTF-8 ({error.reason})") from error


def _located(value: Any, places: Places, path: KeyPath) -> Any:
    if isinstance(value, Mapping):
        return Table(value, places, path)
    if isinstance(value, list):
        return [_located(each, places, (*path, str(i))) for i, each in enumerate(value)]
    return value


def _find_lines(text: str) -> dict[KeyPath, int]:
    """The line of every table and key; what stands in an inline table shares its line."""
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header:
            table = _split(header[2])
            if header[1] == "[[":
                index = counts[table] = counts.get(table, -1) + 1
                table = (*table, str(index))
            _remember(lines, table, number, 0)
        elif key := _KEY.match(line):
            _remember(lines, (*table, *_split(key[1])), number, len(table))
    return lines


def _remember(lines: dict[KeyPath, int], path: KeyPath, number: int, known: int) -> None:
    for length in range(known + 1, len(path) + 1):
        lines.setdefault(path[:length], number)


def _split(dotted: str) -> KeyPath:
    return tuple("".join(part) for part in _PART.findall(dotted))
