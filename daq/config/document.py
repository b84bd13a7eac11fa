"""Parsed TOML that knows its lines: every mistake is told with the place where it stands."""

from __future__ import annotations

import difflib
import re
import tomllib
import types
import typing
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from daq.core import ConfigurationError

__all__ = ["TomlDocument"]


class TomlDocument:
    """Parsed TOML that still knows on which line a table or an option stands."""

    def __init__(self, text: str, path: Path | None) -> None:
        self.path = path
        self._lines = text.splitlines()
        try:
            self.tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{self._name}: {error}") from error

    @property
    def _name(self) -> str:
        return str(self.path) if self.path else "the built-in simulated bench"

    def line(self, where: tuple[str, ...]) -> int:
        """The line of a table, or of an option in it; 0 when it cannot be told."""
        name = r"\s*\.\s*".join(map(_key, where))
        header = re.compile(rf"\s*\[\s*{name}\s*\]")
        for number, line in enumerate(self._lines, 1):
            if header.match(line):
                return number
        if len(where) < 2:
            return 0
        option = re.compile(rf"\s*{_key(where[-1])}\s*=")
        begin = self.line(where[:-1])
        for number, line in enumerate(self._lines[begin:], begin + 1):
            if option.match(line):
                return number
            if line.lstrip().startswith("["):
                break
        return begin

    def places(self, section: str) -> dict[str, str]:
        """Where each option of a section stands."""
        return {
            option: f"{self._name}, line {self.line((section, option))}"
            for option in self.tables.get(section, {})
        }

    def fail(
        self, where: tuple[str, ...], problem: str, known: typing.Iterable[str] = ()
    ) -> typing.NoReturn:
        """Raise ConfigurationError for what stands at `where`, suggesting a `known` name."""
        line = self.line(where)
        place = f"{self._name}, line {line}" if line else self._name
        close = difflib.get_close_matches(where[-1], list(known), n=1)
        advice = f"did you mean {close[0]!r}?" if close else ""
        if known and not close:
            advice = f"known here: {', '.join(sorted(known))}"
        raise ConfigurationError(f"{place}: {problem}", advice=advice)

    def section(self, name: str, model: type[Any]) -> Any:
        """Build a section's model from its table, checking names and types."""
        table = self.tables.get(name, {})
        if not isinstance(table, dict):
            self.fail((name,), f"expected a table [{name}]")
        expected = typing.get_type_hints(model)
        options = [f for f in fields(model) if f.compare]
        names = {f.name for f in options}
        values = {}
        for key, value in table.items():
            if key not in names:
                self.fail((name, key), f"unknown option {key!r} in [{name}]", names)
            values[key] = self._convert((name, key), value, expected[key])
        missing = [f.name for f in options if f.name not in values and _required(f)]
        if missing:
            self.fail((name,), f"[{name}] needs {', '.join(missing)}")
        return model(**values)

    def _convert(self, where: tuple[str, ...], value: Any, expected: Any) -> Any:
        wanted = next(t for t in _alternatives(expected) if t is not type(None))
        if wanted is Path and isinstance(value, str):
            directory = Path(value).expanduser()
            return directory if self.path is None else self.path.parent / directory
        if wanted is float and type(value) is int:
            return float(value)
        if type(value) is not wanted:
            self.fail(where, f"{where[-1]} takes {_NAMES[wanted]}, not {value!r}")
        if isinstance(value, int | float) and not isinstance(value, bool) and value < 0:
            self.fail(where, f"{where[-1]} is not negative, but {value!r} stands there")
        return value


_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    Path: "a path",
}


def _key(name: str) -> str:
    return rf"[\"']?{re.escape(name)}[\"']?"


def _required(model_field: Any) -> bool:
    return model_field.default is MISSING and model_field.default_factory is MISSING


def _alternatives(expected: Any) -> tuple[Any, ...]:
    is_union = isinstance(expected, types.UnionType)
    return typing.get_args(expected) if is_union else (expected,)
