"""Finds and reads a description: TOML in, a checked `Description` out, or every mistake at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from daq.core import STANDARD, Category, ConfigurationError
from daq.drivers.declarative.model import (
    Command,
    Description,
    ErrorRules,
    OptionRule,
    Question,
)
from daq.drivers.declarative.phrases import Phrases
from daq.drivers.declarative.roles import Roles
from daq.drivers.declarative.source import Source, Table
from daq.drivers.declarative.values import read_value
from daq.transport import (
    DATA_BITS,
    FLOW_CONTROLS,
    PARITIES,
    STOP_BITS,
    Dialect,
    FixedLength,
    Framing,
    IdleGap,
    PortSettings,
    Terminated,
)

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
_TOP = ("instrument", "options", "line", "identify", "errors", "last_will", *FOREIGN_TABLES)


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
            advice=f"give the path of a .toml file, or one of {', '.join(shipped_descriptions())}",
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
    return _finished(Source.parse(text, name), _TOP, text)


def read_tables(tables: Mapping[str, Any], name: str) -> Description:
    """A description whose tables stand in the configuration of a device itself.

    It has no line: what it sends means what the driver makes of it. Raises ConfigurationError.
    """
    source = Source({"instrument": {"name": name}, **tables}, name)
    return _finished(source, ("instrument", *FOREIGN_TABLES), "")


def _finished(source: Source, known: Iterable[str], text: str) -> Description:
    for key in known:
        source.root.given(key, "a table", None)
    source.root.finish()
    description = _read(source.root, text)
    _check(source.root, description)
    source.finish()
    return description


def _read(root: Table, text: str) -> Description:
    head = root.table("instrument") or Table(root.source, ("instrument",), {})
    options = _read_options(root)
    samples = {option.name: 1 if option.dtype == "int" else "1" for option in options}
    line = root.table("line") or Table(root.source, ("line",), {})
    plain = Phrases(samples)
    phrases = Phrases(samples, plain.pattern(line, "acknowledge"))
    mine = plain.template(line, "mine") if "mine" in line else None
    dialect, port = _read_dialect(line), _read_port(line)
    line.finish()
    values = {
        key: read_value(table, key, phrases) for key, table in root.named_tables("values").items()
    }
    actions = {key: phrases.commands(table) for key, table in root.named_tables("actions").items()}
    roles = Roles(root, values, actions, plain)
    description = Description(
        source=root.source.name,
        text=text,
        name=head.text("name"),
        category=Category(head.choice("category", "other", tuple(Category))),
        notes=head.text("notes", ""),
        options=options,
        dialect=dialect,
        port=port,
        mine=mine,
        identify=_read_identify(root, phrases),
        init=_read_init(root, phrases),
        errors=_read_errors(root, phrases),
        values=values,
        actions=actions,
        reading=roles.reading(),
        standard=roles.standard(),
        motion=roles.motion(),
        trigger=roles.trigger(),
        safe=roles.safe(),
        will=roles.will(),
    )
    head.finish()
    return description


def _read_options(root: Table) -> tuple[OptionRule, ...]:
    rules = []
    for name, table in root.named_tables("options").items():
        dtype = table.choice("type", "str", ("str", "int"))
        default: Any = table.given("default", "a value", None)
        if default is not None and type(default).__name__ != dtype:
            table.problem("default", f"{default!r} is not of type {dtype}")
        rules.append(OptionRule(name, dtype, default, table.text("description", "")))
        table.finish()
    return tuple(rules)


def _read_dialect(line: Table) -> Dialect:
    usual = Dialect()
    return Dialect(
        framing=_read_framing(line),
        end=line.text("send_end", "\n").encode("latin-1", "replace"),
        timeout_s=line.number("timeout", usual.timeout_s, "s"),
        pause_s=line.number("pause", usual.pause_s, "s"),
        quiet_s=line.number("quiet", usual.quiet_s, "s"),
        echoes=line.truth("echo", usual.echoes),
    )


def _read_framing(line: Table) -> Framing:
    given = [key for key in ("reply_end", "reply_length", "reply_gap") if key in line]
    end = line.text("reply_end", "\n").encode("latin-1", "replace")
    length = line.whole("reply_length", 1)
    gap = line.number("reply_gap", 0.1, "s")
    if len(given) > 1:
        line.problem(given[1], f"a reply ends in one way, but there is {given[0]} too")
    if not (end and length and gap):
        line.problem(given[0], "is empty: a reply has to end")
        return Terminated()
    if "reply_length" in given:
        return FixedLength(length)
    return IdleGap(gap) if "reply_gap" in given else Terminated(end)


def _read_port(line: Table) -> PortSettings:
    usual = PortSettings("")
    data_bits = line.whole("data_bits", usual.data_bits)
    stop_bits = line.number("stop_bits", usual.stop_bits)
    for key, value, known in (
        ("data_bits", data_bits, DATA_BITS),
        ("stop_bits", stop_bits, STOP_BITS),
    ):
        if value not in known:
            line.problem(key, f"{value:g} is not one of {', '.join(f'{k:g}' for k in known)}")
    return PortSettings(
        "",
        baudrate=line.whole("baudrate", usual.baudrate),
        data_bits=data_bits,
        parity=line.choice("parity", usual.parity, PARITIES),
        stop_bits=stop_bits,
        flow_control=line.choice("flow_control", usual.flow_control, FLOW_CONTROLS),
    )


def _read_identify(root: Table, phrases: Phrases) -> Question | None:
    table = root.table("identify")
    return None if table is None else phrases.whole_question(table)


def _read_init(root: Table, phrases: Phrases) -> tuple[Command, ...]:
    return tuple(command for table in root.tables("init") for command in phrases.commands(table))


def _read_errors(root: Table, phrases: Phrases) -> ErrorRules:
    table = root.table("errors")
    if table is None:
        return ErrorRules()
    question = phrases.question(table, "ask")
    ok = phrases.pattern(table, "ok")
    if (question is None) != (ok is None):
        table.problem("ok" if ok is None else "ask", "`ask` and `ok` belong together")
    codes = table.scalars("codes")
    rules = ErrorRules(phrases.pattern(table, "reply"), question, ok, codes)
    table.finish()
    return rules


def _check(root: Table, description: Description) -> None:
    """What holds between the tables."""
    if "instrument" not in root:
        root.problem("instrument", "the table [instrument] with a `name` is missing")
    if root.source.problems:
        return  # what is wrong may be just what makes it offer something
    named = any(value.is_parameter for value in description.values.values())
    if not (description.capabilities or description.standard or named):
        root.problem(
            (), "the instrument offers nothing: describe [readable], [movable] or a parameter"
        )
    polled = [value for value in description.values.values() if value.is_polled]
    asked = polled or description.reading or description.standard or description.motion
    if not (asked or description.identify):
        root.problem((), "there is nothing to poll: give [identify], or a value with poll = true")
