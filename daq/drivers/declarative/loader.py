"""Finds and reads a description: TOML in, a checked `Description` out, or every mistake at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from daq.config import Mistakes, parse_toml, read_model
from daq.core import STANDARD, ConfigurationError, did_you_mean
from daq.drivers.declarative.acts import check_acts, make_act
from daq.drivers.declarative.line_tables import make_dialect, make_port
from daq.drivers.declarative.model import (
    Command,
    Description,
    ErrorRules,
    OptionRule,
)
from daq.drivers.declarative.phrases import Phrases
from daq.drivers.declarative.roles import Roles
from daq.drivers.declarative.tables import (
    CommandTable,
    DescriptionTable,
    LineTable,
)
from daq.drivers.declarative.values import make_values

__all__ = [
    "FOREIGN_TABLES",
    "is_description",
    "load_description",
    "parse_description",
    "read_tables",
    "shipped_descriptions",
]

FOREIGN_TABLES = (
    "init",
    "values",
    "actions",
    "readable",
    "movable",
    *STANDARD,
    "trigger",
    "safe",
)
"""What can be said of an instrument that is reached through somebody else's library."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ENCODINGS = ("latin-1", "utf-8", "ascii", "cp1252", "utf-16-le")


def shipped_descriptions() -> tuple[str, ...]:
    """The names of the descriptions that come with the package, sorted."""
    folder = resources.files("daq.drivers").joinpath("descriptions")
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def load_description(name: str, directory: Path | None = None) -> Description:
    """Read a description.

    Args:
        name: One of `shipped_descriptions`, or the path of a file.
        directory: Where relative paths begin.

    Raises:
        ConfigurationError: There is none, or every mistake in it with file, line and reason.
    """
    if name in shipped_descriptions():
        file = resources.files("daq.drivers").joinpath("descriptions", f"{name}.toml")
        return parse_description(file.read_text(encoding="utf-8"), f"{name}.toml")
    if not name.endswith(".toml"):
        raise ConfigurationError(
            f"there is no description {name!r}",
            advice=did_you_mean(name, shipped_descriptions())
            or f"give the path of a .toml file, or one of {', '.join(shipped_descriptions())}",
        )
    path = (directory or Path()) / Path(name).expanduser()
    try:
        return parse_description(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise ConfigurationError(f"the description {path} cannot be read: {reason}") from error


def is_description(text: str) -> bool:
    """Whether this is meant to be a description, and no configuration of a daemon."""
    return any(line.startswith(("[instrument]", "[values.")) for line in text.splitlines())


def parse_description(text: str, name: str) -> Description:
    """Read a description's text; `name` is for messages. Raises ConfigurationError."""
    tables = parse_toml(text, name)
    return _finished(tables, Mistakes(tables, name), name, text)


def read_tables(tables: Mapping[str, Any], name: str) -> Description:
    """A description whose tables stand in the configuration of a device itself.

    It has no line: what it sends means what the driver makes of it. Raises ConfigurationError.

    Args:
        tables: Those of `FOREIGN_TABLES` that are given.
        name: The instrument.
    """
    return _finished({"instrument": {"name": name}, **tables}, Mistakes(tables, name), name, "")


def _finished(tables: Mapping[str, Any], mistakes: Mistakes, name: str, text: str) -> Description:
    root = read_model(tables, DescriptionTable, mistakes)
    for kind in ("options", "values", "actions"):
        for given in getattr(root, kind):
            if not _NAME.fullmatch(given):
                mistakes.note((kind, given), f"a name is letters, digits and _, not {given!r}")
    was_right = not mistakes
    description = _make(root, name, text, mistakes)
    if was_right and not mistakes:  # what is wrong may be just what makes it offer something
        _check(description, mistakes)
    mistakes.finish()
    return description


def _make(root: DescriptionTable, source: str, text: str, mistakes: Mistakes) -> Description:
    options = _make_options(root, mistakes)
    samples = {option.name: 1 if option.dtype == "int" else "1" for option in options}
    line = root.line
    plain = Phrases(mistakes, samples, line.strip, _encoding(line, mistakes))
    acknowledge = plain.pattern(("line", "acknowledge"), line.acknowledge)
    phrases = replace(plain, acknowledge=acknowledge)
    errors = _make_errors(root, phrases)
    values = make_values(root.values, phrases)
    asked: dict[str, Any] = {
        name: "1" for name, value in values.items() if value.is_readable and not value.shape
    }
    acting = replace(phrases, sample=asked)
    actions = {name: make_act(name, table, acting) for name, table in root.actions.items()}
    roles = Roles(root, values, actions, plain)
    return Description(
        source=source,
        text=text,
        name=root.instrument.name,
        category=root.instrument.category,
        notes=root.instrument.notes,
        options=options,
        dialect=make_dialect(line, phrases, errors),
        port=make_port(line),
        strip=line.strip,
        mine=None if line.mine is None else plain.template(("line", "mine"), line.mine),
        login=_in_order("login", root.login, phrases),
        identify=phrases.question(("identify",), root.identify),
        init=_in_order("init", root.init, phrases),
        errors=errors,
        values=values,
        actions=actions,
        reading=roles.reading(),
        standard=roles.standard(),
        motion=roles.motion(),
        trigger=roles.trigger(),
        safe=roles.safe(),
        will=roles.will(),
    )


def _make_options(root: DescriptionTable, mistakes: Mistakes) -> tuple[OptionRule, ...]:
    rules = []
    for name, table in root.options.items():
        default = table.default
        if default is not None and type(default).__name__ != table.type:
            mistakes.note(("options", name, "default"), f"{default!r} is not of type {table.type}")
        rules.append(OptionRule(name, table.type, default, table.description))
    return tuple(rules)


def _encoding(line: LineTable, mistakes: Mistakes) -> str:
    """One of text, in which texts can be put together: no mark stands before each of them."""
    given = line.encoding
    try:
        if "a".encode(given) + "?".encode(given) == "a?".encode(given):
            return given
        why = "puts something before or behind each text"
    except (LookupError, UnicodeError):
        why = "is not an encoding of text"
    near = did_you_mean(given, _ENCODINGS) or f"such as {', '.join(_ENCODINGS)}"
    mistakes.note(("line", "encoding"), f"{given!r} {why}; {near}")
    return "latin-1"


def _in_order(key: str, tables: Iterable[CommandTable], phrases: Phrases) -> tuple[Command, ...]:
    return tuple(
        command
        for number, table in enumerate(tables)
        for command in phrases.commands((key, str(number)), table)
    )


def _make_errors(root: DescriptionTable, phrases: Phrases) -> ErrorRules:
    table = root.errors
    question = phrases.question(("errors", "ask"), table.ask)
    ok = phrases.pattern(("errors", "ok"), table.ok)
    if (question is None) != (ok is None):
        key = "ok" if ok is None else "ask"
        phrases.mistakes.note(("errors", key), "`ask` and `ok` belong together")
    return ErrorRules(
        phrases.pattern(("errors", "reply"), table.reply),
        question,
        ok,
        table.codes,
        phrases.pattern(("errors", "busy"), table.busy),
        table.busy_timeout,
        table.busy_pause,
    )


def _check(description: Description, mistakes: Mistakes) -> None:
    """What holds between the tables."""
    values = description.values.values()
    named = any(value.is_parameter for value in values)
    acts = description.offered_actions
    if not (description.capabilities or description.standard or named or acts):
        offer = "the instrument offers nothing: describe [readable], [movable] or a parameter"
        mistakes.note((), offer)
    check_acts(description, mistakes)
    reading = description.reading
    is_read = bool(reading) and not description.values[reading].shape
    asked = is_read or description.standard or description.motion or description.identify
    is_foreign = not description.text  # whose library knows whether it is connected
    if not (asked or is_foreign or any(value.is_polled for value in values)):
        mistakes.note((), "there is nothing to poll: give [identify], or a value with poll = true")
